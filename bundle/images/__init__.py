"""Images: bytes to pixels to tensors, with limits that hold before a pixel is decoded."""
