mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                   = "ironbook-test"
  kms_key_arn            = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  vpc_id                 = "vpc-1"
  subnet_ids             = ["subnet-1", "subnet-2", "subnet-3"]
  client_security_groups = { streams = "sg-1", engine = "sg-2" }
  instance_class         = "db.m7g.large"
  storage_size_gib       = 100
  storage_size_max_gib   = 500
  multi_az               = true
  backup_retention_days  = 14
  deletion_protection    = true
  log_retention_days     = 30
}

run "nothing_is_stored_or_said_in_clear" {
  command = apply

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == var.kms_key_arn
    error_message = "storage must be encrypted with our key"
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"], "rds.force_ssl=1")
    error_message = "connections without TLS must be refused"
  }

  assert {
    condition     = !aws_db_instance.this.publicly_accessible
    error_message = "it must not be reached from the internet"
  }
}

run "the_admins_password_is_made_and_kept_by_rds" {
  command = apply

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "no password may pass through Terraform"
  }

  assert {
    condition     = startswith(output.admin_secret_arn, "arn:aws:secretsmanager:")
    error_message = "its secret must be told"
  }
}

run "it_survives_its_zone_and_its_operators" {
  command = apply

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.backup_retention_period == 14
    error_message = "there must be a standby, and a way back to any second"
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && !aws_db_instance.this.delete_automated_backups
    error_message = "what is protected must leave a snapshot and its backups behind"
  }
}

run "without_protection_it_goes_without_a_trace" {
  command = apply

  variables {
    deletion_protection = false
  }

  assert {
    condition     = aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.delete_automated_backups
    error_message = "what nobody would miss must not leave snapshots to pay for"
  }
}

run "only_named_security_groups_connect" {
  command = apply

  assert {
    condition     = { for rule in aws_vpc_security_group_ingress_rule.clients : rule.description => [rule.from_port, rule.referenced_security_group_id] } == { "engine over TLS" = [5432, "sg-2"], "streams over TLS" = [5432, "sg-1"] }
    error_message = "only port 5432 may be open, to the named security groups"
  }
}

run "no_backups_are_refused" {
  command = plan

  variables {
    backup_retention_days = 0
  }

  expect_failures = [var.backup_retention_days]
}

run "more_days_of_backups_than_rds_has_are_refused" {
  command = plan

  variables {
    backup_retention_days = 36
  }

  expect_failures = [var.backup_retention_days]
}

run "a_class_that_is_none_is_refused" {
  command = plan

  variables {
    instance_class = "m7g.large"
  }

  expect_failures = [var.instance_class]
}

run "storage_below_its_range_is_refused" {
  command = plan

  variables {
    storage_size_gib = 19
  }

  expect_failures = [var.storage_size_gib]
}

run "a_maximum_that_is_no_more_than_the_size_is_refused" {
  command = plan

  variables {
    storage_size_max_gib = 100
  }

  expect_failures = [aws_db_instance.this]
}

run "two_subnets_are_refused" {
  command = plan

  variables {
    subnet_ids = ["subnet-1", "subnet-2"]
  }

  expect_failures = [var.subnet_ids]
}
