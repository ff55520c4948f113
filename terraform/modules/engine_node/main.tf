# Two bare-metal machines in two zones: the primary trades, the standby is ready to be made it. Each has a journal disk,
# is alone with its role and security group, and makes itself by cloud-init of what stands in ops/.

data "aws_region" "this" {}

locals {
  nodes = merge(
    { primary = { subnet_id = var.subnet_ids[0], zone = var.zone_names[0], number = 0, process = "engine-${var.shard}" } },
    var.standby
    ? { standby = { subnet_id = var.subnet_ids[1], zone = var.zone_names[1], number = 1, process = "standby-${var.shard}" } }
    : {},
  )
  on_ebs = var.journal_disk == "ebs"
  ops    = "${path.module}/../../../ops"

  # What a machine's disks are called below /dev/disk/by-id.
  journal_device = {
    for node, _ in local.nodes : node => (
      local.on_ebs
      ? "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${replace(aws_ebs_volume.journal[node].id, "-", "")}"
      : "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_*"
    )
  }

  user_data = {
    for node, facts in local.nodes : node => templatefile("${path.module}/cloud-init.yaml.tftpl", {
      hostname       = "${var.name}-engine-${node}"
      role           = node
      number         = facts.number
      region         = data.aws_region.this.region
      shard          = var.shard
      cpus           = var.cpus
      survival_level = var.survival_level
      journal_device = local.journal_device[node]
      bundle         = var.bundle
      process        = facts.process
      secrets_toml = templatefile("${path.module}/secrets.toml.tftpl", {
        environment = var.environment
        region      = data.aws_region.this.region
        secrets     = var.secret_arns
      })
      name        = var.name
      archive     = var.archive_bucket_name
      kafka       = var.kafka_bootstrap
      database_ca = var.database_ca_pem
      units = {
        for unit in ["ironbook-engine.service", "ironbook-heartbeat.service", "ironbook-heartbeat.timer", "ironbook-machine.service", "ironbook-metrics.service", "ironbook-metrics.timer", "ironbook-retention.service", "ironbook-retention.timer", "ironbook-secrets.service"] :
        unit => file("${local.ops}/systemd/${unit}")
      }
      programs = {
        for program in ["ironbook-heartbeat", "ironbook-machine", "ironbook-metrics", "ironbook-node-setup"] : program => file("${local.ops}/node/${program}")
      }
    })
  }
}

# ---- Network ----------------------------------------------------------------------------------------------------------

resource "aws_security_group" "this" {
  name        = "${var.name}-engine"
  description = "Engine nodes: signed frames in, Kafka and endpoints out."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-engine" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_groups

  security_group_id            = aws_security_group.this.id
  description                  = "Signed frames from ${each.key}."
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 7400
  to_port                      = 7400
}

resource "aws_vpc_security_group_ingress_rule" "measures" {
  security_group_id            = aws_security_group.this.id
  description                  = "The node exporter, for the collector."
  referenced_security_group_id = var.collector_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 9100
  to_port                      = 9100
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = {
    https    = { port = 443, to = "0.0.0.0/0", why = "Secrets Manager, S3 and Systems Manager; endpoints where the network has them." }
    http     = { port = 80, to = "0.0.0.0/0", why = "Debian's signed packages at the first boot." }
    kafka    = { port = 9096, to = var.vpc_cidr, why = "Kafka with SASL/SCRAM over TLS." }
    postgres = { port = 5432, to = var.vpc_cidr, why = "PostgreSQL: the follower of secrets says there what the node holds." }
  }

  security_group_id = aws_security_group.this.id
  description       = each.value.why
  cidr_ipv4         = each.value.to
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

# One group a node: whoever needs the shortest way to the engine starts a machine in the same one.
resource "aws_placement_group" "this" {
  for_each = local.nodes

  name     = "${var.name}-engine-${each.key}"
  strategy = "cluster"
}

resource "aws_route53_zone" "this" {
  # checkov:skip=CKV2_AWS_38: DNSSEC is for public zones; this one is seen inside the VPC alone.
  # checkov:skip=CKV2_AWS_39: Query logs are for public zones; flow logs show who speaks to whom.
  name    = "${var.name}.internal"
  comment = "Where the engine is: changed by a failover."

  vpc {
    vpc_id = var.vpc_id
  }
}

resource "aws_route53_record" "engine" {
  zone_id = aws_route53_zone.this.zone_id
  name    = "engine.${var.name}.internal"
  type    = "A"
  ttl     = 5
  records = [aws_instance.this[var.active_node].private_ip]
}

# Each node by its own name, whoever trades: measures are asked for there.
resource "aws_route53_record" "node" {
  for_each = local.nodes

  zone_id = aws_route53_zone.this.zone_id
  name    = "${each.value.process}.${var.name}.internal"
  type    = "A"
  ttl     = 60
  records = [aws_instance.this[each.key].private_ip]
}

# ---- Machines ---------------------------------------------------------------------------------------------------------

resource "aws_ebs_volume" "journal" {
  for_each = local.on_ebs ? local.nodes : {}

  availability_zone = each.value.zone
  size              = var.journal_volume_size_gib
  type              = "gp3"
  iops              = var.journal_volume_iops
  throughput        = 500
  encrypted         = true
  kms_key_id        = var.kms_key_arn
  final_snapshot    = var.deletion_protection

  tags = { Name = "${var.name}-journal-${each.key}" }
}

resource "aws_volume_attachment" "journal" {
  for_each = aws_ebs_volume.journal

  device_name                    = "/dev/sdf"
  volume_id                      = each.value.id
  instance_id                    = aws_instance.this[each.key].id
  stop_instance_before_detaching = true
}

resource "aws_instance" "this" {
  for_each = local.nodes

  ami                         = var.image_id
  instance_type               = var.instance_type
  subnet_id                   = each.value.subnet_id
  placement_group             = aws_placement_group.this[each.key].name
  vpc_security_group_ids      = [aws_security_group.this.id]
  iam_instance_profile        = var.instance_profile_name
  associate_public_ip_address = false
  disable_api_termination     = var.deletion_protection
  ebs_optimized               = true
  monitoring                  = true
  user_data_base64            = base64gzip(local.user_data[each.key])

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = 32
    encrypted   = true
    kms_key_id  = var.kms_key_arn
  }

  tags = { Name = "${var.name}-engine-${each.key}" }

  lifecycle {
    # A node is never replaced by the way: terraform apply -replace, the standby first (docs/guides/terraform.md).
    ignore_changes = [ami, user_data_base64]
  }
}
