"""The Binance Spot v3 dialect: names, texts, codes and streams as existing clients know them."""
