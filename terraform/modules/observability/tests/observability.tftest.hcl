mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                          = "ironbook-test"
  kms_key_arn                   = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  alert_emails                  = ["desk@example.com"]
  report_emails                 = ["risk@example.com"]
  budget_monthly_usd            = 1000
  engine_instance_ids           = { engine-0 = "i-1", standby-0 = "i-2" }
  engine_measures_addresses     = { engine-0 = "engine-0.ironbook-test.internal:9100", standby-0 = "standby-0.ironbook-test.internal:9100" }
  kafka_cluster_name            = "ironbook-test"
  consumer_lags_max             = { "risk/executions" = 10000 }
  postgres_instance_identifier  = "ironbook-test"
  postgres_free_storage_min_gib = 20
  load_balancer_arn_suffix      = "app/ironbook-test/1"
  ecs_cluster_services          = { gateway = { cluster = "ironbook-test", service = "gateway" } }
  function_names                = { archiver = "ironbook-test-archiver", canary = "ironbook-test-canary", rotation = "ironbook-test-rotation" }
  archive_lag_max_minutes       = 30
}

run "every_alarm_reaches_people_when_it_comes_and_when_it_goes" {
  command = apply

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : contains(alarm.alarm_actions, aws_sns_topic.alerts.arn) && contains(alarm.ok_actions, aws_sns_topic.alerts.arn)])
    error_message = "every alarm must publish to the topic"
  }

  assert {
    condition     = aws_sns_topic.alerts.kms_master_key_id == var.kms_key_arn && keys(aws_sns_topic_subscription.email) == ["desk@example.com"]
    error_message = "the topic must be encrypted, and mail to the addresses"
  }
}

run "every_report_is_told_of_to_those_who_are_named" {
  command = apply

  assert {
    condition     = aws_sns_topic.reports.kms_master_key_id == var.kms_key_arn && aws_sns_topic.reports.name == "ironbook-test-reports" && keys(aws_sns_topic_subscription.report_email) == ["risk@example.com"]
    error_message = "the topic of reports must be encrypted, and mail to the addresses for reports alone"
  }
}

run "whatever_stops_trading_or_loses_data_has_an_alarm" {
  command = apply

  assert {
    condition     = length(setsubtract(["kafka-disk-1", "kafka-disk-2", "kafka-disk-3", "kafka-offline", "kafka-replicas-1", "kafka-lag-risk-executions", "postgres-storage", "postgres-cpu", "gateway-5xx", "balancer-5xx", "gateway-cpu", "archiver-errors", "canary-errors", "archiver-silent", "canary-silent", "rotation-silent", "measures-silent", "archive-lag", "engine-0-host", "engine-0-heartbeat", "standby-0-heartbeat"], keys(aws_cloudwatch_metric_alarm.this))) == 0
    error_message = "an alarm is missing"
  }
}

run "silence_is_an_alarm_where_there_must_be_a_measure" {
  command = apply

  assert {
    condition     = alltrue([for alarm in ["engine-0-heartbeat", "engine-0-host", "archiver-silent", "canary-silent", "rotation-silent", "measures-silent", "archive-lag", "gateway-cpu", "postgres-storage"] : aws_cloudwatch_metric_alarm.this[alarm].treat_missing_data == "breaching"])
    error_message = "a measure that stops coming must be an alarm"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["measures-silent"].dimensions == tomap({ Type = "Resource", ResourceId = aws_prometheus_workspace.this.id, Resource = "IngestionRate", Service = "Prometheus", Class = "None" })
    error_message = "the rate must be of this environment's workspace"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["gateway-5xx"].treat_missing_data == "notBreaching"
    error_message = "no errors at all must be no alarm"
  }
}

run "thresholds_are_in_the_units_of_the_measure" {
  command = apply

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["archive-lag"].threshold == 1800 && aws_cloudwatch_metric_alarm.this["postgres-storage"].threshold == 21474836480 && aws_cloudwatch_metric_alarm.this["kafka-lag-risk-executions"].threshold == 10000
    error_message = "minutes must become seconds, GiB bytes, and messages stay"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["kafka-lag-risk-executions"].dimensions == tomap({ "Cluster Name" = "ironbook-test", "Consumer Group" = "ironbook-risk", "Topic" = "executions" })
    error_message = "the lag must be of the group in its topic"
  }
}

run "costs_are_told_before_they_are_passed" {
  command = apply

  assert {
    condition     = { for notification in aws_budgets_budget.this.notification : notification.notification_type => notification.threshold } == { ACTUAL = 80, FORECASTED = 100 }
    error_message = "the budget must tell at 80%, and when it will be passed"
  }

  assert {
    condition     = one(aws_budgets_budget.this.cost_filter).values == tolist(["user:ironbook:name$ironbook-test"])
    error_message = "the budget must count what carries the tag of this environment"
  }
}

run "a_collector_is_told_where_to_read_and_write" {
  command = apply

  assert {
    condition     = yamldecode(output.collector_configuration).receivers.prometheus.config.scrape_configs[0].static_configs[0].targets == ["$${env:IRONBOOK_METRICS_TARGET}"]
    error_message = "a collector must read the process beside it"
  }
  assert {
    condition     = yamldecode(output.collector_configuration).exporters.prometheus_remote_write.endpoint == output.prometheus_remote_write_url && startswith(output.prometheus_remote_write_url, aws_prometheus_workspace.this.prometheus_endpoint)
    error_message = "it must write to this workspace"
  }
  assert {
    condition     = yamldecode(output.collector_configuration).exporters.prometheus_remote_write.translation_strategy == "UnderscoreEscapingWithoutSuffixes"
    error_message = "names must arrive as a process tells them"
  }
  assert {
    condition     = yamldecode(output.collector_configuration).exporters.prometheus_remote_write.disable_scope_info
    error_message = "a series must not end because its collector is updated"
  }
  assert {
    condition     = yamldecode(output.collector_configuration).exporters.prometheus_remote_write.timeout == "60s" && yamldecode(output.collector_configuration).exporters.prometheus_remote_write.remote_write_queue.queue_size == 100
    error_message = "a short outage must lose nothing, a long one must not fill the memory"
  }
  assert {
    condition     = yamldecode(output.collector_configuration).extensions.sigv4auth == { region = "eu-central-1", service = "aps" } && yamldecode(output.collector_configuration).exporters.prometheus_remote_write.auth == { authenticator = "sigv4auth" }
    error_message = "it must sign what it writes with its task's role"
  }
  assert {
    condition     = contains(yamldecode(output.collector_configuration).service.extensions, "health_check") && yamldecode(output.collector_configuration).extensions.health_check.endpoint == "127.0.0.1:13133"
    error_message = "the image's health check must find its answer"
  }
}

run "what_a_collector_uses_is_what_it_is_told_of" {
  command = apply

  assert {
    condition = alltrue(flatten([for told in [yamldecode(output.collector_configuration), yamldecode(output.nodes_collector_configuration)] : [for pipeline in told.service.pipelines : [
      for part in ["receivers", "processors", "exporters"] : [for used in pipeline[part] : contains(keys(told[part]), used)]
    ]]]))
    error_message = "a pipeline must not name what is not there: the collector would not start"
  }
  assert {
    condition     = contains(yamldecode(output.collector_configuration).service.pipelines.metrics.processors, "resource") && yamldecode(output.collector_configuration).processors.resource.attributes[0] == { key = "service.instance.id", from_attribute = "aws.ecs.task.arn", action = "upsert" }
    error_message = "two tasks of a service must not write the same series"
  }
  assert {
    condition = { for job in yamldecode(output.nodes_collector_configuration).receivers["prometheus/nodes"].config.scrape_configs : job.job_name => job.static_configs[0].targets } == {
      engine-0  = ["engine-0.ironbook-test.internal:9100"]
      standby-0 = ["standby-0.ironbook-test.internal:9100"]
    }
    error_message = "both nodes must be read, whoever trades"
  }
  assert {
    condition     = !contains(yamldecode(output.nodes_collector_configuration).service.pipelines["metrics/nodes"].processors, "resource") && yamldecode(output.nodes_collector_configuration).service.pipelines.metrics == yamldecode(output.collector_configuration).service.pipelines.metrics
    error_message = "a node must be known by its name and not by the task that reads it, and that task's own measures go on"
  }
}

run "a_node_without_a_port_is_refused" {
  command = plan

  variables {
    engine_measures_addresses = { engine-0 = "engine-0.ironbook-test.internal" }
  }

  expect_failures = [var.engine_measures_addresses]
}

run "a_function_whose_silence_is_an_alarm_must_be_there" {
  command = plan

  variables {
    function_names = { archiver = "x", canary = "x" }
  }

  expect_failures = [var.function_names]
}

run "a_lag_without_a_topic_is_refused" {
  command = plan

  variables {
    consumer_lags_max = { risk = 10 }
  }

  expect_failures = [var.consumer_lags_max]
}

run "an_address_that_is_none_is_refused" {
  command = plan

  variables {
    alert_emails = ["desk"]
  }

  expect_failures = [var.alert_emails]
}

run "an_address_for_reports_that_is_none_is_refused" {
  command = plan

  variables {
    report_emails = ["desk"]
  }

  expect_failures = [var.report_emails]
}

run "a_budget_of_nothing_is_refused" {
  command = plan

  variables {
    budget_monthly_usd = 0
  }

  expect_failures = [var.budget_monthly_usd]
}

run "an_archive_that_may_lag_for_days_is_refused" {
  command = plan

  variables {
    archive_lag_max_minutes = 1441
  }

  expect_failures = [var.archive_lag_max_minutes]
}
