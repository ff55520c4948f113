# The stream workers on Fargate: one service and one task definition each, a follower of secrets beside each worker, and
# scaling by the lag of what a worker reads and by its load.

data "aws_region" "this" {}

locals {
  # What each worker reads (its lag is measured there) and whom it needs to be.
  workers = {
    validation = { topic = "orders.submitted", signer = null, database = false }
    risk       = { topic = "orders.validated", signer = var.signer_keys.risk, database = false }
    submitter  = { topic = "orders.accepted", signer = var.signer_keys.submitter, database = false }
    analytics  = { topic = "executions", signer = null, database = true }
  }
  secrets_directory = "/run/ironbook"
  port              = 8080        # of /health, /ready and /metrics
  cpu_units_beside  = 32          # shares of follower and collector when the CPU is short; the worker has the rest
  reads_nodes       = "submitter" # there is one of it, and it stands and falls with the engine
  scaled            = { for worker, size in var.workers : worker => size if size.count_max > size.count_min }

  environment = {
    for worker, facts in local.workers : worker => merge(
      {
        IRONBOOK_STREAMS_KAFKA               = var.kafka_bootstrap
        IRONBOOK_STREAMS_SECURITY_PROTOCOL   = "SASL_SSL"
        IRONBOOK_STREAMS_KAFKA_LOGIN         = "${local.secrets_directory}/${worker}.kafka-login.json"
        IRONBOOK_STREAMS_KEY_FILE            = "${local.secrets_directory}/keys.ironbook"
        IRONBOOK_STREAMS_KEY_PASSPHRASE_FILE = "${local.secrets_directory}/key-passphrase"
        IRONBOOK_STREAMS_STATE_DIRECTORY     = "${local.secrets_directory}/state"
        IRONBOOK_STREAMS_WEB_HOST            = "0.0.0.0"
        IRONBOOK_STREAMS_WEB_PORT            = tostring(local.port)
      },
      facts.signer == null ? {} : {
        IRONBOOK_STREAMS_ENGINE     = var.engine_address
        IRONBOOK_STREAMS_ENGINE_KEY = "${local.secrets_directory}/${facts.signer}.key"
      },
      facts.database ? { IRONBOOK_STREAMS_DATABASE_URL_FILE = "${local.secrets_directory}/analytics.database-url" } : {},
    )
  }
}

resource "aws_ecs_cluster" "this" {
  name = "${var.name}-streams"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-streams"
  description = "Stream workers: nothing in, Kafka, engine, database and endpoints out."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-streams" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = {
    https    = { port = 443, to = "0.0.0.0/0", why = "Secrets Manager, logs and images; endpoints where the network has them." }
    kafka    = { port = 9096, to = var.vpc_cidr, why = "Kafka with SASL/SCRAM over TLS." }
    engine   = { port = 7400, to = var.vpc_cidr, why = "The engine's ingress." }
    postgres = { port = 5432, to = var.vpc_cidr, why = "PostgreSQL." }
    measures = { port = 9100, to = var.vpc_cidr, why = "Measures of engine nodes." }
  }

  security_group_id = aws_security_group.this.id
  description       = each.value.why
  cidr_ipv4         = each.value.to
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.workers

  name              = "/ecs/${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "this" {
  for_each = local.workers

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.workers[each.key].cpu_units
  memory                   = var.workers[each.key].memory_mib
  pid_mode                 = "task" # the follower sees whether the worker that says what it holds is alive
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = var.task_role_arns[each.key]

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = "secrets"
  }

  container_definitions = jsonencode([
    {
      name                   = each.key
      image                  = var.image
      essential              = true
      cpu                    = var.workers[each.key].cpu_units - 2 * local.cpu_units_beside
      command                = ["python", "-P", "-m", "streams.${each.key}"]
      environment            = [for name, value in local.environment[each.key] : { name = name, value = value }]
      readonlyRootFilesystem = true
      dependsOn              = [{ containerName = "secrets", condition = "HEALTHY" }]
      mountPoints            = [{ sourceVolume = "secrets", containerPath = local.secrets_directory, readOnly = false }]
      portMappings           = [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
      stopTimeout            = 30
      healthCheck = {
        command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:${local.port}/health', timeout=4)"]
        interval    = 10
        timeout     = 5
        retries     = 3
        startPeriod = 120
      }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.this[each.key].name
          awslogs-region        = data.aws_region.this.region
          awslogs-stream-prefix = each.key
        }
      }
    },
    {
      name      = "secrets"
      image     = var.image
      essential = true
      cpu       = local.cpu_units_beside
      command   = ["follow-secrets"]
      environment = [{ name = "IRONBOOK_DATABASE_CA", value = var.database_ca_pem }, {
        name = "IRONBOOK_SECRETS_SETTINGS"
        value = templatefile("${path.module}/secrets.toml.tftpl", {
          directory   = local.secrets_directory
          environment = var.environment
          worker      = each.key
          secrets     = var.secret_arns
          signer      = each.value.signer
          database    = each.value.database
        })
      }]
      readonlyRootFilesystem = true
      mountPoints            = [{ sourceVolume = "secrets", containerPath = local.secrets_directory, readOnly = false }]
      healthCheck = {
        command     = ["CMD", "test", "-f", "${local.secrets_directory}/ready"]
        interval    = 5
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.this[each.key].name
          awslogs-region        = data.aws_region.this.region
          awslogs-stream-prefix = "secrets"
        }
      }
    },
    {
      # Trading does not wait for measures: this may end and begin again by itself. It is another user than the worker's, so
      # that in the common process namespace it can neither stop the worker nor read its files.
      name                   = "collector"
      image                  = var.collector_image
      essential              = false
      user                   = "10002:10002"
      cpu                    = local.cpu_units_beside
      memory                 = 256
      stopTimeout            = 5 # in an outage it would try on until it is killed, and the next task waits for that
      readonlyRootFilesystem = true
      restartPolicy          = { enabled = true, restartAttemptPeriod = 60 }
      environment = [for name, value in {
        AOT_CONFIG_CONTENT      = each.key == local.reads_nodes ? var.nodes_collector_configuration : var.collector_configuration
        GOMAXPROCS              = "1"
        GOMEMLIMIT              = "192MiB"
        IRONBOOK_METRICS_JOB    = each.key
        IRONBOOK_METRICS_SCHEME = "http"
        IRONBOOK_METRICS_TARGET = "127.0.0.1:${local.port}"
      } : { name = name, value = value }]
      healthCheck = {
        command     = ["CMD", "/healthcheck"]
        interval    = 30
        timeout     = 5
        retries     = 3
        startPeriod = 30
      }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.this[each.key].name
          awslogs-region        = data.aws_region.this.region
          awslogs-stream-prefix = "collector"
        }
      }
    },
  ])
}

resource "aws_ecs_service" "this" {
  for_each = local.workers

  name            = each.key
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this[each.key].arn
  desired_count   = var.workers[each.key].count_min
  launch_type     = "FARGATE"
  propagate_tags  = "SERVICE"

  # A key has one live session: a signer's old task ends before the new one begins. The others overlap.
  deployment_minimum_healthy_percent = each.value.signer == null ? 100 : 0
  deployment_maximum_percent         = each.value.signer == null ? 200 : 100

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  lifecycle {
    ignore_changes = [desired_count] # scaling's
  }
}

# ---- Scaling ----------------------------------------------------------------------------------------------------------

resource "aws_appautoscaling_target" "this" {
  for_each = local.scaled

  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this[each.key].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = each.value.count_min
  max_capacity       = each.value.count_max
}

resource "aws_appautoscaling_policy" "lag" {
  for_each = local.scaled

  name               = "${var.name}-${each.key}-lag"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.this[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.key].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.lag_messages_target
    scale_out_cooldown = 60
    scale_in_cooldown  = 600 # every change moves partitions, and their tables are read again

    customized_metric_specification {
      namespace   = "AWS/Kafka"
      metric_name = "SumOffsetLag"
      statistic   = "Maximum"

      dimensions {
        name  = "Cluster Name"
        value = var.kafka_cluster_name
      }
      dimensions {
        name  = "Consumer Group"
        value = "ironbook-${each.key}" # as the worker calls its group
      }
      dimensions {
        name  = "Topic"
        value = local.workers[each.key].topic
      }
    }
  }
}

resource "aws_appautoscaling_policy" "load" {
  for_each = local.scaled

  name               = "${var.name}-${each.key}-load"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.this[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.key].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = 60 # percent: a worker reads from one thread, and catching up after a pause needs room
    scale_out_cooldown = 60
    scale_in_cooldown  = 600

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}
