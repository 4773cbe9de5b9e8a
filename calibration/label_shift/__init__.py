"""Label shift of two classes: the prevalence behind unlabelled images, and whether it explains them."""
