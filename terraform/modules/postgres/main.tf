# One PostgreSQL: encrypted, TLS only, put back to any second of the last days, and where multi_az is on, taken over by a
# standby in another zone. The admin's password is made, kept and changed by RDS itself; no state file ever sees it.

locals {
  version  = "17"
  port     = 5432
  database = "ironbook"

  settings = {
    "rds.force_ssl"              = "1"             # nothing is said in clear
    "password_encryption"        = "scram-sha-256" # nor kept in a form that can be replayed
    "log_connections"            = "1"
    "log_disconnections"         = "1"
    "log_min_duration_statement" = "1000" # ms: what takes longer is worth a look
    "log_statement"              = "ddl"  # who changed the shape of a table
  }
}

# ---- who can reach it

resource "aws_security_group" "this" {
  name        = "${var.name}-postgres"
  description = "PostgreSQL: who may connect"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-postgres" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_groups

  security_group_id            = aws_security_group.this.id
  description                  = "${each.key} over TLS"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
  referenced_security_group_id = each.value
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Isolated subnets, one a zone"
  subnet_ids  = var.subnet_ids
}

# ---- settings

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-postgres${local.version}"
  family      = "postgres${local.version}"
  description = "Ironbook: TLS only, slow statements and changes of tables logged"

  dynamic "parameter" {
    for_each = local.settings

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "immediate"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

# ---- logs and measures

# Made before RDS makes them: then they are encrypted, and end.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

data "aws_iam_policy_document" "monitoring_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }
  }
}

data "aws_partition" "this" {}

resource "aws_iam_role" "monitoring" {
  name               = "${var.name}-postgres-monitoring"
  assume_role_policy = data.aws_iam_policy_document.monitoring_assume.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

# ---- the instance

resource "aws_db_instance" "this" {
  # checkov:skip=CKV_AWS_161:processes log in by passwords that the rotation function changes; tokens of a quarter of an hour do not fit pools
  # checkov:skip=CKV2_AWS_69:rds.force_ssl is set, in a dynamic block of the parameter group that this check does not read
  # checkov:skip=CKV_AWS_293:deletion protection is the environment's choice, on wherever data would be missed
  identifier     = var.name
  engine         = "postgres"
  engine_version = local.version
  instance_class = var.instance_class
  db_name        = local.database
  port           = local.port

  username                      = "ironbook_admin"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.kms_key_arn

  storage_type          = "gp3"
  allocated_storage     = var.storage_size_gib
  max_allocated_storage = var.storage_size_max_gib
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn

  multi_az               = var.multi_az
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  # UTC, while the markets that Ironbook is tried with are quietest.
  backup_window              = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  backup_retention_period    = var.backup_retention_days
  copy_tags_to_snapshot      = true
  auto_minor_version_upgrade = true

  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = !var.deletion_protection
  final_snapshot_identifier = "${var.name}-final"
  delete_automated_backups  = !var.deletion_protection

  enabled_cloudwatch_logs_exports       = keys(aws_cloudwatch_log_group.this)
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.kms_key_arn
  performance_insights_retention_period = 7

  lifecycle {
    precondition {
      condition     = var.storage_size_max_gib > var.storage_size_gib
      error_message = "storage_size_max_gib (${var.storage_size_max_gib} GiB) must be above storage_size_gib (${var.storage_size_gib} GiB)."
    }
  }
}
