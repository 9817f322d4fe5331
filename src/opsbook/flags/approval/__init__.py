"""A second person, where a flag asks for one: changes wait as requests until another approves them."""
