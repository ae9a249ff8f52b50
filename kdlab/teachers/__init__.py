"""Teachers for the pages' data: the recipe of each, and the shipped ones."""
