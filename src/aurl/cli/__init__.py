"""The command line: options → one library function → its result on stdout. All printing and exiting is here."""
