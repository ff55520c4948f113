# Three brokers, one a zone. Everybody logs in (SASL/SCRAM for processes, IAM for operators) and speaks TLS; a record that
# was acknowledged is on two brokers at least, and a broker that lacks it never leads.

locals {
  contract = jsondecode(file("${path.module}/../../../schemas/topics.json"))

  # What ironbook.topics makes of the same file; `ironbook topics check` compares the brokers with it.
  topics = {
    for topic in local.contract.topics : "${var.topic_prefix}${topic.name}" => {
      partitions   = local.contract.partition_groups[topic.partitions]
      retention_ms = try(topic.retention_ms, null)
      settings = merge(
        {
          "cleanup.policy"         = topic.cleanup
          "message.timestamp.type" = try(topic.log_append_time, false) ? "LogAppendTime" : "CreateTime"
          "min.insync.replicas"    = "2"
        },
        topic.cleanup == "delete" ? { "retention.ms" = tostring(topic.retention_ms) } : {},
      )
    }
  }

  broker_ports = { scram = 9096, iam = 9098 }
}

# ---- who can reach it

resource "aws_security_group" "this" {
  name        = "${var.name}-kafka"
  description = "Kafka brokers: clients by SASL over TLS"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-kafka" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = {
    for pair in setproduct(keys(local.broker_ports), keys(var.client_security_groups)) :
    "${pair[1]} ${pair[0]}" => { port = local.broker_ports[pair[0]], from = var.client_security_groups[pair[1]] }
  }

  security_group_id            = aws_security_group.this.id
  description                  = "${each.key} over TLS"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = each.value.from
}

# ---- the cluster

resource "aws_msk_configuration" "this" {
  name           = var.name
  kafka_versions = [var.kafka_version]

  server_properties = <<-EOT
    allow.everyone.if.no.acl.found=false
    auto.create.topics.enable=false
    default.replication.factor=3
    min.insync.replicas=2
    unclean.leader.election.enable=false
  EOT

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/kafka"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = length(var.subnet_ids)

  # Has what the alarms look at, how far consumer groups are behind included; finer levels are billed by the partition.
  enhanced_monitoring = "PER_BROKER"

  broker_node_group_info {
    instance_type   = var.broker_instance_type
    client_subnets  = var.subnet_ids
    security_groups = [aws_security_group.this.id]

    storage_info {
      ebs_storage_info {
        volume_size = var.broker_volume_size_gib
      }
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  client_authentication {
    unauthenticated = false

    sasl {
      scram = true
      iam   = true
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.kms_key_arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  open_monitoring {
    prometheus {
      jmx_exporter {
        enabled_in_broker = true
      }
      node_exporter {
        enabled_in_broker = true
      }
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this.name
      }
    }
  }

  lifecycle {
    # It grows by itself, see below; a plan must not want to shrink it.
    ignore_changes = [broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size]

    precondition {
      condition     = var.broker_volume_size_max_gib >= var.broker_volume_size_gib
      error_message = "broker_volume_size_max_gib (${var.broker_volume_size_max_gib} GiB) must be at least broker_volume_size_gib (${var.broker_volume_size_gib} GiB)."
    }
  }
}

# A full disk stops a broker, and nothing but more disk starts it again.
resource "aws_appautoscaling_target" "storage" {
  service_namespace  = "kafka"
  scalable_dimension = "kafka:broker-storage:VolumeSize"
  resource_id        = aws_msk_cluster.this.arn
  min_capacity       = 1
  max_capacity       = var.broker_volume_size_max_gib
}

resource "aws_appautoscaling_policy" "storage" {
  name               = "${var.name}-kafka-storage"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.storage.service_namespace
  scalable_dimension = aws_appautoscaling_target.storage.scalable_dimension
  resource_id        = aws_appautoscaling_target.storage.resource_id

  target_tracking_scaling_policy_configuration {
    target_value     = 60
    disable_scale_in = true

    predefined_metric_specification {
      predefined_metric_type = "KafkaBrokerStorageUtilization"
    }
  }
}

# ---- users and topics

resource "aws_msk_single_scram_secret_association" "this" {
  for_each = var.user_secret_arns

  cluster_arn = aws_msk_cluster.this.arn
  secret_arn  = each.value
}

# Made through MSK's own API, so nothing has to run inside the VPC. Settings are changed in place. A topic that is taken
# out of the contract is deleted with all that it holds, and the plan says so.
resource "aws_msk_topic" "this" {
  for_each = local.topics

  cluster_arn        = aws_msk_cluster.this.arn
  name               = each.key
  partition_count    = each.value.partitions
  replication_factor = 3
  configs            = jsonencode(each.value.settings)
}
