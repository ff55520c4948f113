"""State of the submitter: none. What the engine has is in its journal, under the orders' nonces."""
