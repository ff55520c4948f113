# The state: in a bucket that terraform/bootstrap made, versioned and locked by S3 itself.
terraform {
  backend "s3" {
    bucket       = "ironbook-state-111122223333" # of terraform/bootstrap; 111122223333 is your account
    key          = "production/terraform.tfstate"
    region       = "eu-central-1"
    encrypt      = true
    use_lockfile = true
  }
}
