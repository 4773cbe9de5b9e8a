"""Line-up: which bundles are loaded, which of them answers, and how changes reach every worker."""
