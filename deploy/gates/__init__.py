"""Offline gates of a promotion: what a newcomer must show before a live image reaches it."""
