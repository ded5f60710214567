"""A plugin that fails while it is imported."""

raise RuntimeError("the native library of this plugin is missing")
