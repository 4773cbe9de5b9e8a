"""Line-up: the loaded bundles, which of them answers, and how changes reach every worker."""
