"""How good is it: likelihood baselines now, musical metrics and distances beside them."""
