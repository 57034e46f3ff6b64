"""The widgets of the screen, each with its stylesheet beside it."""
