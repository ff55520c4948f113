"""The journal topic, to S3: objects, chained manifests, a head; then the topic is trimmed behind them."""
