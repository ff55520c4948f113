"""Daily and on-demand reports from Postgres and the archive's statements, to S3."""
