output "bucket_name" {
  description = "Name of the state's bucket: what `terraform init -backend-config=bucket=...` of an environment takes."
  value       = aws_s3_bucket.this.id
}

output "kms_key_arn" {
  description = "ARN of the key that encrypts the states: what `terraform init -backend-config=kms_key_id=...` of an environment takes."
  value       = aws_kms_key.this.arn
}
