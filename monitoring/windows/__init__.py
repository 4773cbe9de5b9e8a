"""Rolling windows of labelled predictions, kept in the store by Lua scripts."""
