"""The filters that judge raw reasoning before a person sees it."""
