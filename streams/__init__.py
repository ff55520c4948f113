"""What stands between the topics: validation, risk, submitter and analytics, each a folder of its own."""
