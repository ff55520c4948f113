output "archive_bucket_name" {
  description = "Name of the bucket of journal, statements and snapshots."
  value       = aws_s3_bucket.this["archive"].id
}

output "archive_bucket_arn" {
  description = "ARN of the bucket of journal, statements and snapshots."
  value       = aws_s3_bucket.this["archive"].arn
}

output "reports_bucket_name" {
  description = "Name of the bucket of reports."
  value       = aws_s3_bucket.this["reports"].id
}

output "reports_bucket_arn" {
  description = "ARN of the bucket of reports."
  value       = aws_s3_bucket.this["reports"].arn
}

output "artifacts_bucket_name" {
  description = "Name of the bucket of releases that nodes and functions install."
  value       = aws_s3_bucket.this["artifacts"].id
}

output "artifacts_bucket_arn" {
  description = "ARN of the bucket of releases that nodes and functions install."
  value       = aws_s3_bucket.this["artifacts"].arn
}

output "logs_bucket_name" {
  description = "Name of the bucket of access logs (buckets, load balancer)."
  value       = aws_s3_bucket.this["logs"].id
}

output "repository_urls" {
  description = "Where the images of gateway, streams, verifier and collector are pushed, by image."
  value       = { for image, repository in aws_ecr_repository.this : image => repository.repository_url }
}
