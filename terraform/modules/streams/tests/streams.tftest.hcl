mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                          = "ironbook-test"
  environment                   = "test"
  vpc_id                        = "vpc-00000000"
  vpc_cidr                      = "10.20.0.0/16"
  subnet_ids                    = ["subnet-1", "subnet-2", "subnet-3"]
  image                         = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/ironbook-test/streams@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  collector_image               = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/ironbook-test/collector@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  collector_configuration       = "service: {pipelines: {metrics: {receivers: [prometheus]}}}"
  nodes_collector_configuration = "service: {pipelines: {metrics: {receivers: [prometheus]}, metrics/nodes: {receivers: [prometheus/nodes]}}}"
  workers = {
    validation = { cpu_units = 512, memory_mib = 1024, count_min = 1, count_max = 4 }
    risk       = { cpu_units = 512, memory_mib = 1024, count_min = 1, count_max = 1 }
    submitter  = { cpu_units = 512, memory_mib = 1024, count_min = 1, count_max = 1 }
    analytics  = { cpu_units = 512, memory_mib = 1024, count_min = 1, count_max = 2 }
  }
  secret_arns = {
    "api_key/risk"       = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/api_key/risk-AbCdEf"
    "api_key/submitter"  = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/api_key/submitter-AbCdEf"
    "database/analytics" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/database/analytics-AbCdEf"
    "database/follower"  = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/database/follower-AbCdEf"
    "kafka/analytics"    = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/kafka/analytics-AbCdEf"
    "kafka/risk"         = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/kafka/risk-AbCdEf"
    "kafka/submitter"    = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/kafka/submitter-AbCdEf"
    "kafka/validation"   = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/kafka/validation-AbCdEf"
  }
  signer_keys        = { risk = "risk", submitter = "submitter" }
  kafka_bootstrap    = "b-1:9096"
  kafka_cluster_name = "ironbook-test"
  engine_address     = "engine.ironbook-test.internal:7400"
  task_role_arns     = { for worker in ["validation", "risk", "submitter", "analytics"] : worker => "arn:aws:iam::111122223333:role/${worker}" }
  execution_role_arn = "arn:aws:iam::111122223333:role/execution"
  database_ca_pem    = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
  kms_key_arn        = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  log_retention_days = 30
}

run "each_worker_has_a_task_with_a_follower_of_secrets_beside_it" {
  command = apply

  assert {
    condition     = alltrue([for worker, task in aws_ecs_task_definition.this : [for container in jsondecode(task.container_definitions) : container.name] == [worker, "secrets", "collector"] && task.pid_mode == "task"])
    error_message = "each task must hold the worker, its follower and its collector in one process namespace"
  }
  assert {
    condition     = alltrue([for worker, task in aws_ecs_task_definition.this : jsondecode(task.container_definitions)[0].dependsOn == [{ containerName = "secrets", condition = "HEALTHY" }]])
    error_message = "a worker must wait for its secrets"
  }
  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : alltrue([for container in jsondecode(task.container_definitions) : container.readonlyRootFilesystem])])
    error_message = "root file systems must be read-only"
  }
  assert {
    condition     = !strcontains(aws_ecs_task_definition.this["validation"].container_definitions, "database/analytics") && strcontains(aws_ecs_task_definition.this["analytics"].container_definitions, "database/analytics")
    error_message = "only analytics must follow its database user"
  }
}

run "those_that_may_be_more_scale_by_lag_and_load" {
  command = apply

  assert {
    condition     = toset(keys(aws_appautoscaling_policy.lag)) == toset(["validation", "analytics"]) && keys(aws_appautoscaling_policy.lag) == keys(aws_appautoscaling_policy.load)
    error_message = "validation and analytics must scale by both"
  }
  assert {
    condition     = alltrue([for worker, policy in aws_appautoscaling_policy.lag : one([for dimension in policy.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].dimensions : dimension.value if dimension.name == "Consumer Group"]) == "ironbook-${worker}"])
    error_message = "the lag must be of the worker's own consumer group"
  }
}

run "a_signers_old_task_ends_before_the_new_one_begins" {
  command = apply

  assert {
    condition     = alltrue([for worker in ["risk", "submitter"] : aws_ecs_service.this[worker].deployment_maximum_percent == 100]) && aws_ecs_service.this["validation"].deployment_maximum_percent == 200
    error_message = "a key has one live session"
  }
}

run "two_submitters_are_refused" {
  command = plan

  variables {
    workers = {
      validation = { cpu_units = 512, memory_mib = 1024, count_min = 1, count_max = 4 }
      risk       = { cpu_units = 512, memory_mib = 1024, count_min = 1, count_max = 1 }
      submitter  = { cpu_units = 512, memory_mib = 1024, count_min = 1, count_max = 2 }
      analytics  = { cpu_units = 512, memory_mib = 1024, count_min = 1, count_max = 2 }
    }
  }

  expect_failures = [var.workers]
}

run "an_image_by_tag_is_refused" {
  command = plan

  variables {
    image = "streams:latest"
  }

  expect_failures = [var.image]
}

run "a_lag_of_one_is_refused" {
  command = plan

  variables {
    lag_messages_target = 1
  }

  expect_failures = [var.lag_messages_target]
}

run "passwords_go_to_no_server_but_one_of_the_databases_authority" {
  command = apply

  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : contains(jsondecode(task.container_definitions)[1].environment, { name = "IRONBOOK_DATABASE_CA", value = var.database_ca_pem })])
    error_message = "a task must have the certificate of the database's authority"
  }
  assert {
    condition     = alltrue(flatten([for task in aws_ecs_task_definition.this : [for line in regexall("options = [^\n]*", [for variable in jsondecode(task.container_definitions)[1].environment : variable.value if variable.name == "IRONBOOK_SECRETS_SETTINGS"][0]) : line == "options = \"sslmode=verify-full&sslrootcert=/run/ironbook/database-ca.pem\""]]))
    error_message = "every address of the database must have the server's certificate checked"
  }
}

run "an_authority_that_is_no_certificate_is_refused" {
  command = plan

  variables {
    database_ca_pem = "rds-ca-rsa2048-g1"
  }

  expect_failures = [var.database_ca_pem]
}

run "beside_each_worker_runs_a_collector_that_reads_the_port_it_serves" {
  command = apply

  assert {
    condition = alltrue([for worker, task in aws_ecs_task_definition.this : one([for container in jsondecode(task.container_definitions) : {
      configuration = one([for variable in container.environment : variable.value if variable.name == "AOT_CONFIG_CONTENT"])
      image         = container.image
    } if container.name == "collector"]) == { configuration = worker == "submitter" ? var.nodes_collector_configuration : var.collector_configuration, image = var.collector_image }])
    error_message = "each task must hold a collector, which is told what to do; one reads the engine nodes too"
  }
  assert {
    condition     = one([for rule in aws_vpc_security_group_egress_rule.this : rule.cidr_ipv4 if rule.from_port == 9100]) == var.vpc_cidr && var.workers.submitter.count_max == 1
    error_message = "it must reach the nodes, and there must be one of it"
  }
  assert {
    condition = alltrue([for worker, task in aws_ecs_task_definition.this : {
      for variable in one([for container in jsondecode(task.container_definitions) : container.environment if container.name == "collector"]) : variable.name => variable.value if startswith(variable.name, "IRONBOOK_")
      } == {
      IRONBOOK_METRICS_JOB    = worker
      IRONBOOK_METRICS_SCHEME = "http"
      IRONBOOK_METRICS_TARGET = "127.0.0.1:${jsondecode(task.container_definitions)[0].portMappings[0].containerPort}"
    }])
    error_message = "it must read the worker's own port, as the worker speaks there"
  }
  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : contains(jsondecode(task.container_definitions)[0].environment, { name = "IRONBOOK_STREAMS_WEB_PORT", value = tostring(jsondecode(task.container_definitions)[0].portMappings[0].containerPort) })])
    error_message = "the worker must listen on the port that is mapped and read"
  }
  assert {
    condition = alltrue([for task in aws_ecs_task_definition.this : one([for container in jsondecode(task.container_definitions) :
      !container.essential && container.restartPolicy.enabled && container.memory == 256 && try(container.stopTimeout, 30) <= 5 && container.readonlyRootFilesystem && container.healthCheck.command == ["CMD", "/healthcheck"] if container.name == "collector"
    ])])
    error_message = "a collector must be bounded, read-only and looked after, may end without ending the task, and must not hold up its end"
  }
  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : !anytrue(flatten([for container in jsondecode(task.container_definitions) : [for wanted in try(container.dependsOn, []) : wanted.containerName == "collector"]]))])
    error_message = "nothing may wait for a collector"
  }
  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : one([for container in jsondecode(task.container_definitions) : container.user != "0" && container.user != "10001:10001" && length(try(container.mountPoints, [])) == 0 if container.name == "collector"])])
    error_message = "a collector must be a user of its own and see no secrets"
  }
  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : one([for container in jsondecode(task.container_definitions) : container.logConfiguration.options if container.name == "collector"]) == merge(jsondecode(task.container_definitions)[0].logConfiguration.options, { awslogs-stream-prefix = "collector" })])
    error_message = "a collector must have a log stream of its own"
  }
  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : sum([for container in jsondecode(task.container_definitions) : container.cpu]) == tonumber(task.cpu)])
    error_message = "shares must be those of the task, all of them"
  }
  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : alltrue([for container in slice(jsondecode(task.container_definitions), 1, length(jsondecode(task.container_definitions))) : container.cpu * 10 < jsondecode(task.container_definitions)[0].cpu])])
    error_message = "what is beside the worker must have a small share"
  }
}

run "a_collector_by_tag_is_refused" {
  command = plan

  variables {
    collector_image = "collector:latest"
  }

  expect_failures = [var.collector_image]
}

run "a_collector_that_is_told_nothing_is_refused" {
  command = plan

  variables {
    collector_configuration = "service: {}"
  }

  expect_failures = [var.collector_configuration]
}
