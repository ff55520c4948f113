# The gateway on Fargate behind a load balancer with TLS and a firewall. Each gateway is a service of one task with an
# engine key of its own; those beyond count_min start when the load asks for them.

data "aws_region" "this" {}

locals {
  gateways          = { for index, key in var.engine_keys : "gateway-${index}" => { index = index, engine_key = key } }
  spare             = { for name, gateway in local.gateways : name => gateway if gateway.index >= var.count_min }
  secrets_directory = "/run/ironbook"
  state_directory   = "${local.secrets_directory}/state"
  port              = 7443
  cpu_units_beside  = 32 # shares of what is beside the gateway when the CPU is short; it has the rest

  # A replica begins there: the journal topic is trimmed below what the archive has.
  snapshots_directory = "/run/ironbook/snapshots"

  environment = merge(
    {
      IRONBOOK_GATEWAY_LISTEN              = "0.0.0.0:${local.port}"
      IRONBOOK_GATEWAY_TLS_CERTIFICATE     = "${local.secrets_directory}/gateway.crt"
      IRONBOOK_GATEWAY_TLS_KEY             = "${local.secrets_directory}/gateway.pem"
      IRONBOOK_GATEWAY_TRUSTED_PROXIES     = var.vpc_cidr
      IRONBOOK_GATEWAY_DATA                = local.state_directory
      IRONBOOK_GATEWAY_SOURCE              = "kafka"
      IRONBOOK_GATEWAY_SNAPSHOTS           = local.snapshots_directory
      IRONBOOK_GATEWAY_ENGINE              = var.engine_address
      IRONBOOK_GATEWAY_KEY_FILE            = "${local.secrets_directory}/keys.ironbook"
      IRONBOOK_GATEWAY_KEY_PASSPHRASE_FILE = "${local.secrets_directory}/key-passphrase"
      IRONBOOK_GATEWAY_COOKIE_SECRET_FILE  = "${local.secrets_directory}/cookie-secret"
      IRONBOOK_GATEWAY_DATABASE_URL_FILE   = "${local.secrets_directory}/gateway.database-url"
      IRONBOOK_GATEWAY_KAFKA               = var.kafka_bootstrap
      IRONBOOK_GATEWAY_KAFKA_LOGIN         = "${local.secrets_directory}/gateway.kafka-login.json"
    },
    var.admin_key == null ? {} : { IRONBOOK_GATEWAY_ADMIN_KEY = "${local.secrets_directory}/${var.admin_key}.key" },
  )
}

# ---- Network ----------------------------------------------------------------------------------------------------------

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-gateway-lb"
  description = "Load balancer of the gateway: clients in over TLS, gateways out."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-gateway-lb" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_cidr_blocks

  security_group_id = aws_security_group.load_balancer.id
  description       = "Clients."
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# Inside the VPC the load balancer's name leads to its public addresses, so functions come by the NAT gateways' own.
resource "aws_vpc_security_group_ingress_rule" "inside" {
  for_each = var.nat_addresses

  security_group_id = aws_security_group.load_balancer.id
  description       = "Functions, through the NAT gateway in ${each.key}."
  cidr_ipv4         = "${each.value}/32"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "gateways" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "Gateways, over TLS."
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_security_group" "this" {
  name        = "${var.name}-gateway"
  description = "Gateways: the load balancer in; Kafka, engine, database and endpoints out."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-gateway" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  security_group_id            = aws_security_group.this.id
  description                  = "The load balancer, over TLS."
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = {
    https    = { port = 443, to = "0.0.0.0/0", why = "Secrets Manager, logs and images; endpoints where the network has them." }
    kafka    = { port = 9096, to = var.vpc_cidr, why = "Kafka with SASL/SCRAM over TLS." }
    engine   = { port = 7400, to = var.vpc_cidr, why = "The engine's ingress." }
    postgres = { port = 5432, to = var.vpc_cidr, why = "PostgreSQL." }
  }

  security_group_id = aws_security_group.this.id
  description       = each.value.why
  cidr_ipv4         = each.value.to
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

# ---- Load balancer and firewall ---------------------------------------------------------------------------------------

resource "aws_lb" "this" {
  # checkov:skip=CKV2_AWS_76:the web ACL has KnownBadInputs, in a dynamic block that this check does not read
  name                       = "${var.name}-gateway"
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.load_balancer.id]
  subnets                    = var.public_subnet_ids
  idle_timeout               = 120 # above a WebSocket's ping interval
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection

  access_logs {
    bucket  = var.access_logs_bucket_name
    prefix  = "load-balancer"
    enabled = true
  }
}

resource "aws_lb_target_group" "this" {
  name                 = "${var.name}-gateway"
  target_type          = "ip"
  vpc_id               = var.vpc_id
  port                 = local.port
  protocol             = "HTTPS"
  deregistration_delay = 30

  health_check {
    path                = "/ready"
    protocol            = "HTTPS"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
    matcher             = "200"
  }

  # A dashboard's login and its WebSocket may lead to any gateway; a listen key belongs to the one that made it.
  stickiness {
    type            = "lb_cookie"
    cookie_duration = 86400
  }
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

# The public name, as it is seen inside the VPC: the firm's own DNS need not know of it yet for functions to find it.
resource "aws_route53_zone" "this" {
  # checkov:skip=CKV2_AWS_38: DNSSEC is for public zones; this one is seen inside the VPC alone.
  # checkov:skip=CKV2_AWS_39: Query logs are for public zones; flow logs show who speaks to whom.
  name    = var.gateway_name
  comment = "The gateway's public name inside the VPC."

  vpc {
    vpc_id = var.vpc_id
  }
}

resource "aws_route53_record" "this" {
  zone_id = aws_route53_zone.this.zone_id
  name    = var.gateway_name
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = false # there is no other
  }
}

resource "aws_wafv2_web_acl" "this" {
  name        = "${var.name}-gateway"
  description = "Floods, known bad inputs, and addresses of ill repute stop here."
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  rule {
    name     = "rate"
    priority = 0

    action {
      block {
        custom_response {
          response_code = 429
        }
      }
    }

    statement {
      rate_based_statement {
        limit              = var.requests_per_address_max
        aggregate_key_type = "IP"
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-gateway-rate"
      sampled_requests_enabled   = true
    }
  }

  dynamic "rule" {
    for_each = ["AWSManagedRulesAmazonIpReputationList", "AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesSQLiRuleSet"]

    content {
      name     = rule.value
      priority = rule.key + 1

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          name        = rule.value
          vendor_name = "AWS"
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-gateway-${rule.value}"
        sampled_requests_enabled   = true
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = "${var.name}-gateway"
    sampled_requests_enabled   = true
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  resource_arn = aws_lb.this.arn
  web_acl_arn  = aws_wafv2_web_acl.this.arn
}

resource "aws_cloudwatch_log_group" "firewall" {
  name              = "aws-waf-logs-${var.name}-gateway" # WAF asks for this beginning
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [aws_cloudwatch_log_group.firewall.arn]

  redacted_fields {
    single_header {
      name = "x-mbx-apikey"
    }
  }
  redacted_fields {
    single_header {
      name = "cookie"
    }
  }
}

# ---- Gateways ---------------------------------------------------------------------------------------------------------

resource "aws_ecs_cluster" "this" {
  name = "${var.name}-gateway"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}-gateway"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "this" {
  for_each = local.gateways

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu_units
  memory                   = var.memory_mib
  pid_mode                 = "task" # the follower sees whether the gateway that says what it holds is alive
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = var.task_role_arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = "secrets"
  }

  container_definitions = jsonencode([
    {
      name      = "gateway"
      image     = var.image
      essential = true
      cpu       = var.cpu_units - 3 * local.cpu_units_beside
      command   = ["python", "-P", "-m", "gateway", "run"]
      environment = [
        for name, value in merge(local.environment, {
          IRONBOOK_GATEWAY_ENGINE_KEY = "${local.secrets_directory}/${each.value.engine_key}.key"
        }) : { name = name, value = value }
      ]
      readonlyRootFilesystem = true
      dependsOn = [
        { containerName = "secrets", condition = "HEALTHY" },
        { containerName = "snapshot", condition = "SUCCESS" },
      ]
      mountPoints  = [{ sourceVolume = "secrets", containerPath = local.secrets_directory, readOnly = false }]
      portMappings = [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
      stopTimeout  = 30
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.this.name
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
          secrets     = var.secret_arns
          engine_key  = each.value.engine_key
          admin_key   = var.admin_key
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
          awslogs-group         = aws_cloudwatch_log_group.this.name
          awslogs-region        = data.aws_region.this.region
          awslogs-stream-prefix = "secrets"
        }
      }
    },
    {
      # --if-any: the first gateway comes before the engine's first snapshot, and reads the topic from its first record.
      name                   = "snapshot"
      image                  = var.image
      essential              = false
      cpu                    = local.cpu_units_beside
      command                = ["ironbook", "journal", "snapshot", "--if-any", "--archive", "s3://${var.archive_bucket_name}", "--shard", "0", "--to", local.snapshots_directory]
      readonlyRootFilesystem = true
      mountPoints            = [{ sourceVolume = "secrets", containerPath = local.secrets_directory, readOnly = false }]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.this.name
          awslogs-region        = data.aws_region.this.region
          awslogs-stream-prefix = "snapshot"
        }
      }
    },
    {
      # Trading does not wait for measures: this may end and begin again by itself. It is another user than the gateway's, so
      # that in the common process namespace it can neither stop the gateway nor read its files.
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
        AOT_CONFIG_CONTENT      = var.collector_configuration
        GOMAXPROCS              = "1"
        GOMEMLIMIT              = "192MiB"
        IRONBOOK_METRICS_JOB    = each.key
        IRONBOOK_METRICS_SCHEME = "https"
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
          awslogs-group         = aws_cloudwatch_log_group.this.name
          awslogs-region        = data.aws_region.this.region
          awslogs-stream-prefix = "collector"
        }
      }
    },
  ])
}

resource "aws_ecs_service" "this" {
  for_each = local.gateways

  name                              = each.key
  cluster                           = aws_ecs_cluster.this.id
  task_definition                   = aws_ecs_task_definition.this[each.key].arn
  desired_count                     = each.value.index < var.count_min ? 1 : 0
  launch_type                       = "FARGATE"
  propagate_tags                    = "SERVICE"
  health_check_grace_period_seconds = 120

  # A key has one live session: the old task ends before the new one begins.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "gateway"
    container_port   = local.port
  }

  lifecycle {
    ignore_changes = [desired_count] # scaling's
  }

  depends_on = [aws_lb_listener.this]
}

# ---- Scaling: gateway n starts when all before it have their share of requests, and stops at half of that ---------------

resource "aws_appautoscaling_target" "spare" {
  for_each = local.spare

  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this[each.key].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = 0
  max_capacity       = 1
}

resource "aws_appautoscaling_policy" "start" {
  for_each = local.spare

  name               = "${var.name}-${each.key}-start"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.spare[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.spare[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.spare[each.key].scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    cooldown                = 60
    metric_aggregation_type = "Average"

    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = 1
    }
  }
}

resource "aws_appautoscaling_policy" "stop" {
  for_each = local.spare

  name               = "${var.name}-${each.key}-stop"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.spare[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.spare[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.spare[each.key].scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    cooldown                = 600
    metric_aggregation_type = "Average"

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "busy" {
  for_each = local.spare

  alarm_name          = "${var.name}-${each.key}-busy"
  alarm_description   = "The gateways before ${each.key} have their share of requests: it starts."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "RequestCount"
  dimensions          = { LoadBalancer = aws_lb.this.arn_suffix }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.requests_per_minute_target * each.value.index
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.start[each.key].arn]
}

resource "aws_cloudwatch_metric_alarm" "quiet" {
  for_each = local.spare

  alarm_name          = "${var.name}-${each.key}-quiet"
  alarm_description   = "Half the load that started ${each.key}, for half an hour: it stops."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "RequestCount"
  dimensions          = { LoadBalancer = aws_lb.this.arn_suffix }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 6
  comparison_operator = "LessThanThreshold"
  threshold           = 5 * var.requests_per_minute_target * each.value.index / 2
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_appautoscaling_policy.stop[each.key].arn]
}
