"""Report of a promotion: a page with pictures for a person who was not there."""
