# What is seen of an environment: alerts and reports that reach people, alarms over everything that can stop trading or lose data, a
# dashboard of them, a budget, and managed Prometheus and Grafana for the measures of processes.
#
# Alarms are a table (local.alarms). They name what they watch, so this module makes nothing that others wait for but the
# topic of alerts. A measure that must always be there counts as an alarm when it is missing.

locals {
  namespace = "Ironbook"
  brokers   = toset(["1", "2", "3"])

  defaults = { statistic = "Maximum", period_s = 60, periods_count = 5, comparison = "GreaterThanThreshold", missing = "notBreaching" }

  alarms_kafka = merge(
    { for broker in local.brokers : "kafka-disk-${broker}" => {
      about      = "The disk of broker ${broker} is over 80% full, though it grows by itself at 60%."
      namespace  = "AWS/Kafka"
      metric     = "KafkaDataLogsDiskUsed"
      threshold  = 80
      missing    = "breaching"
      dimensions = { "Cluster Name" = var.kafka_cluster_name, "Broker ID" = broker }
    } },
    { for broker in local.brokers : "kafka-replicas-${broker}" => {
      about         = "Broker ${broker} leads partitions that a copy is missing of; one more failure and writes are refused."
      namespace     = "AWS/Kafka"
      metric        = "UnderReplicatedPartitions"
      threshold     = 0
      periods_count = 10
      dimensions    = { "Cluster Name" = var.kafka_cluster_name, "Broker ID" = broker }
    } },
    { "kafka-offline" = {
      about         = "Partitions have no leader: nobody can read or write them."
      namespace     = "AWS/Kafka"
      metric        = "OfflinePartitionsCount"
      threshold     = 0
      periods_count = 2
      dimensions    = { "Cluster Name" = var.kafka_cluster_name }
    } },
    { for reader, lag in var.consumer_lags_max : "kafka-lag-${replace(reader, "/", "-")}" => {
      about      = "${split("/", reader)[0]} is more than ${lag} messages behind in ${split("/", reader)[1]}."
      namespace  = "AWS/Kafka"
      metric     = "SumOffsetLag"
      threshold  = lag
      dimensions = { "Cluster Name" = var.kafka_cluster_name, "Consumer Group" = "ironbook-${split("/", reader)[0]}", "Topic" = split("/", reader)[1] }
    } },
  )

  alarms_postgres = {
    "postgres-storage" = {
      about      = "Less than ${var.postgres_free_storage_min_gib} GiB of the database's storage is free."
      namespace  = "AWS/RDS"
      metric     = "FreeStorageSpace"
      statistic  = "Minimum"
      comparison = "LessThanThreshold"
      threshold  = var.postgres_free_storage_min_gib * 1073741824
      missing    = "breaching"
      dimensions = { DBInstanceIdentifier = var.postgres_instance_identifier }
    }
    "postgres-cpu" = {
      about         = "The database has used more than 85% of its CPUs for a quarter of an hour."
      namespace     = "AWS/RDS"
      metric        = "CPUUtilization"
      statistic     = "Average"
      threshold     = 85
      periods_count = 15
      missing       = "breaching"
      dimensions    = { DBInstanceIdentifier = var.postgres_instance_identifier }
    }
    "postgres-memory" = {
      about      = "Less than 256 MiB of the database's memory is free."
      namespace  = "AWS/RDS"
      metric     = "FreeableMemory"
      statistic  = "Minimum"
      comparison = "LessThanThreshold"
      threshold  = 268435456
      dimensions = { DBInstanceIdentifier = var.postgres_instance_identifier }
    }
  }

  alarms_gateway = { for side, metric in { gateway = "HTTPCode_Target_5XX_Count", balancer = "HTTPCode_ELB_5XX_Count" } : "${side}-5xx" => {
    about         = "More than 10 answers a minute of the ${side} were errors of its own (5xx)."
    namespace     = "AWS/ApplicationELB"
    metric        = metric
    statistic     = "Sum"
    threshold     = 10
    periods_count = 3
    dimensions    = { LoadBalancer = var.load_balancer_arn_suffix }
  } }

  # A service without a running task has no CPU to measure, so the alarm is over that too.
  alarms_services = merge([
    for service, names in var.ecs_cluster_services : {
      for metric, what in { CPUUtilization = "CPU", MemoryUtilization = "memory" } : "${service}-${lower(what)}" => {
        about                              = "${service} uses more than 90% of its ${what}, or no task of it runs."
        namespace                          = "AWS/ECS"
        metric                             = metric
        threshold                          = 90
        missing                            = "breaching"
        dimensions                         = { ClusterName = names.cluster, ServiceName = names.service }
      }
    }
  ]...)

  alarms_functions = merge([
    for function, name in var.function_names : {
      for metric, what in { Errors = "failed", Throttles = "was not let run" } : "${function}-${lower(metric)}" => {
        about                      = "The function ${function} ${what}."
        namespace                  = "AWS/Lambda"
        metric                     = metric
        statistic                  = "Sum"
        period_s                   = 300
        periods_count              = 1
        threshold                  = 0
        dimensions                 = { FunctionName = name }
      }
    }
  ]...)

  # What runs on a schedule and is silent is as bad as what fails.
  alarms_silence = { for function in ["archiver", "canary", "rotation"] : "${function}-silent" => {
    about         = "The function ${function} has not run for a quarter of an hour."
    namespace     = "AWS/Lambda"
    metric        = "Invocations"
    statistic     = "Sum"
    period_s      = 300
    periods_count = 3
    comparison    = "LessThanThreshold"
    threshold     = 1
    missing       = "breaching"
    dimensions    = { FunctionName = var.function_names[function] }
  } }

  # Series of processes come every 15 s; fewer than one sample a second is nobody.
  alarms_measures = { "measures-silent" = {
    about         = "The managed Prometheus has received next to nothing for a quarter of an hour: no collector reaches it, and what Grafana shows is old."
    namespace     = "AWS/Usage"
    metric        = "ResourceCount"
    period_s      = 300
    periods_count = 3
    comparison    = "LessThanThreshold"
    threshold     = 1
    missing       = "breaching"
    dimensions    = { Type = "Resource", ResourceId = aws_prometheus_workspace.this.id, Resource = "IngestionRate", Service = "Prometheus", Class = "None" }
  } }

  alarms_archive = { "archive-lag" = {
    about         = "The archive is more than ${var.archive_lag_max_minutes} minutes behind the journal; the node keeps what is not archived, and its disk fills."
    namespace     = local.namespace
    metric        = "ArchiveLagSeconds"
    period_s      = 300
    periods_count = 3
    threshold     = var.archive_lag_max_minutes * 60
    missing       = "breaching"
    dimensions    = { Environment = var.name }
  } }

  alarms_engine = merge(
    { for process, id in var.engine_instance_ids : "${process}-host" => {
      about         = "The host of ${process} fails its checks."
      namespace     = "AWS/EC2"
      metric        = "StatusCheckFailed"
      periods_count = 2
      threshold     = 0
      missing       = "breaching"
      dimensions    = { InstanceId = id }
    } },
    { for process in keys(var.engine_instance_ids) : "${process}-heartbeat" => {
      about         = "${process} has not said for three minutes that it is alive."
      namespace     = local.namespace
      metric        = "EngineHeartbeat"
      statistic     = "Sum"
      periods_count = 3
      comparison    = "LessThanThreshold"
      threshold     = 1
      missing       = "breaching"
      dimensions    = { Environment = var.name, Process = process }
    } },
  )

  alarms = {
    for key, alarm in merge(
      local.alarms_kafka, local.alarms_postgres, local.alarms_gateway, local.alarms_services, local.alarms_functions, local.alarms_silence, local.alarms_measures, local.alarms_archive, local.alarms_engine
    ) : key => merge(local.defaults, alarm)
  }
}

data "aws_caller_identity" "this" {}

data "aws_region" "this" {}

# ---- alerts

resource "aws_sns_topic" "alerts" {
  name              = "${var.name}-alerts"
  kms_master_key_id = var.kms_key_arn
}

data "aws_iam_policy_document" "alerts" {
  statement {
    sid       = "Publish"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alerts" {
  arn    = aws_sns_topic.alerts.arn
  policy = data.aws_iam_policy_document.alerts.json
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alert_emails

  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = each.key
}

# ---- reports: only the function that makes them publishes here, by its role, so the topic needs no policy of its own

resource "aws_sns_topic" "reports" {
  name              = "${var.name}-reports"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_subscription" "report_email" {
  for_each = var.report_emails

  topic_arn = aws_sns_topic.reports.arn
  protocol  = "email"
  endpoint  = each.key
}

# ---- alarms

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.about
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period_s
  evaluation_periods  = each.value.periods_count
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      {
        type       = "alarm", x = 0, y = 0, width = 24, height = 6
        properties = { title = "Alarms of ${var.name}", alarms = [for key in sort(keys(local.alarms)) : aws_cloudwatch_metric_alarm.this[key].arn] }
      },
      {
        type = "metric", x = 0, y = 6, width = 12, height = 6
        properties = {
          title   = "How far readers are behind, in messages", region = data.aws_region.this.region, period = 60, stat = "Maximum"
          metrics = [for key, alarm in local.alarms_kafka : concat([alarm.namespace, alarm.metric], flatten([for name, value in alarm.dimensions : [name, value]])) if startswith(key, "kafka-lag-")]
        }
      },
      {
        type = "metric", x = 12, y = 6, width = 12, height = 6
        properties = {
          title   = "How far the archive is behind, in seconds", region = data.aws_region.this.region, period = 300, stat = "Maximum"
          metrics = [[local.namespace, "ArchiveLagSeconds", "Environment", var.name]]
        }
      },
    ]
  })
}

# ---- what it costs

resource "aws_budgets_budget" "this" {
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.budget_monthly_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  # Only what carries this environment's tag; it counts from when the tag is activated for cost allocation.
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:ironbook:name$%s", var.name)]
  }

  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }

    content {
      notification_type         = notification.key
      comparison_operator       = "GREATER_THAN"
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.alerts.arn]
    }
  }

  depends_on = [aws_sns_topic_policy.alerts]
}

# ---- measures of processes

resource "aws_prometheus_workspace" "this" {
  alias       = var.name
  kms_key_arn = var.kms_key_arn
}

# A collector runs beside each process, in its task: it reads 127.0.0.1 and is told by variables what. Several tasks of a
# service have the same address there, so a series is known by its task and not by that.
locals {
  collector = {
    extensions = {
      health_check = { endpoint = "127.0.0.1:13133" }
      sigv4auth    = { region = data.aws_region.this.region, service = "aps" }
    }
    receivers = {
      prometheus = { config = { scrape_configs = [{
        job_name        = "$${env:IRONBOOK_METRICS_JOB}"
        scrape_interval = "15s"
        scheme          = "$${env:IRONBOOK_METRICS_SCHEME}"
        metrics_path    = "/metrics"
        tls_config      = { insecure_skip_verify = true } # its own task: the certificate is for the name that clients use
        static_configs  = [{ targets = ["$${env:IRONBOOK_METRICS_TARGET}"] }]
      }] } }
    }
    processors = {
      memory_limiter     = { check_interval = "5s", limit_mib = 160, spike_limit_mib = 40 } # the container has 256
      resource_detection = { detectors = ["ecs"], timeout = "5s" }
      resource           = { attributes = [{ key = "service.instance.id", from_attribute = "aws.ecs.task.arn", action = "upsert" }] }
      batch              = {}
    }
    exporters = {
      prometheus_remote_write = {
        endpoint             = local.remote_write_url
        auth                 = { authenticator = "sigv4auth" }
        translation_strategy = "UnderscoreEscapingWithoutSuffixes" # names as /metrics has them
        disable_scope_info   = true                                # a collector's version in each series would end them all at an update
        timeout              = "60s"                               # for all attempts together: 5s, the default, loses what a short outage meets
        remote_write_queue   = { queue_size = 100 }                # twelve minutes at least; the default, 10000, fills the memory
      }
    }
    service = {
      extensions = ["health_check", "sigv4auth"]
      telemetry  = { metrics = { level = "none" }, logs = { level = "warn", disable_stacktrace = true } }
      pipelines = { metrics = {
        receivers  = ["prometheus"]
        processors = ["memory_limiter", "resource_detection", "resource", "batch"]
        exporters  = ["prometheus_remote_write"]
      } }
    }
  }

  # Engine nodes are no tasks: the one collector that reads them too knows them by their names.
  nodes_collector = merge(local.collector, {
    receivers = merge(local.collector.receivers, {
      "prometheus/nodes" = { config = { scrape_configs = [for process, address in var.engine_measures_addresses : {
        job_name        = process
        scrape_interval = "30s"
        static_configs  = [{ targets = [address] }]
      }] } }
    })
    service = merge(local.collector.service, {
      pipelines = merge(local.collector.service.pipelines, { "metrics/nodes" = {
        receivers  = ["prometheus/nodes"]
        processors = ["memory_limiter", "batch"]
        exporters  = ["prometheus_remote_write"]
      } })
    })
  })

  remote_write_url = "${aws_prometheus_workspace.this.prometheus_endpoint}api/v1/remote_write"
}

data "aws_iam_policy_document" "grafana_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["grafana.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

data "aws_iam_policy_document" "grafana" {
  # checkov:skip=CKV_AWS_356:reading of measures; CloudWatch and the list of workspaces know no narrower resource
  statement {
    actions   = ["aps:QueryMetrics", "aps:GetSeries", "aps:GetLabels", "aps:GetMetricMetadata", "aps:DescribeWorkspace"]
    resources = [aws_prometheus_workspace.this.arn]
  }

  statement {
    actions   = ["aps:ListWorkspaces", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "cloudwatch:DescribeAlarms", "cloudwatch:DescribeAlarmsForMetric"]
    resources = ["*"]
  }
}

resource "aws_iam_role" "grafana" {
  name               = "${var.name}-grafana"
  description        = "Grafana of ${var.name}: reads measures"
  assume_role_policy = data.aws_iam_policy_document.grafana_trust.json
}

resource "aws_iam_role_policy" "grafana" {
  name   = "read"
  role   = aws_iam_role.grafana.id
  policy = data.aws_iam_policy_document.grafana.json
}

# People log in by IAM Identity Center, which the account must have.
resource "aws_grafana_workspace" "this" {
  name                     = var.name
  account_access_type      = "CURRENT_ACCOUNT"
  authentication_providers = ["AWS_SSO"]
  permission_type          = "CUSTOMER_MANAGED"
  data_sources             = ["PROMETHEUS", "CLOUDWATCH"]
  role_arn                 = aws_iam_role.grafana.arn
}
