"""Pages of the site that the code itself tells."""
