"""The gateway: HTTP and WebSocket in the Binance Spot dialect, /api/v1, the dashboard; its reads are a replica's."""
