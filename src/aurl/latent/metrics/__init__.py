"""How latents and measured factors of music belong together: MIG, SAP, and DCI (disentanglement, completeness, …)."""
