"""Places and cancels a signed order through the gateway, as a client would, and says how long that took."""
