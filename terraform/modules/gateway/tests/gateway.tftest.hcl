mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                    = "ironbook-test"
  environment             = "test"
  vpc_id                  = "vpc-00000000"
  vpc_cidr                = "10.20.0.0/16"
  public_subnet_ids       = ["subnet-1", "subnet-2", "subnet-3"]
  private_subnet_ids      = ["subnet-4", "subnet-5", "subnet-6"]
  image                   = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/ironbook-test/gateway@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  collector_image         = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/ironbook-test/collector@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  collector_configuration = "service: {pipelines: {metrics: {receivers: [prometheus]}}}"
  engine_keys             = ["gateway-0", "gateway-1", "gateway-2"]
  archive_bucket_name     = "ironbook-test-archive"
  admin_key               = "admin"
  count_min               = 2
  cpu_units               = 1024
  memory_mib              = 2048
  gateway_name            = "gateway.example.com"
  nat_addresses           = { eu-central-1a = "198.51.100.1", eu-central-1b = "198.51.100.2" }
  certificate_arn         = "arn:aws:acm:eu-central-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"
  client_cidr_blocks      = ["203.0.113.0/24"]
  secret_arns = {
    "api_key/admin"     = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/api_key/admin-AbCdEf"
    "api_key/gateway-0" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/api_key/gateway-0-AbCdEf"
    "api_key/gateway-1" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/api_key/gateway-1-AbCdEf"
    "api_key/gateway-2" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/api_key/gateway-2-AbCdEf"
    "cookie"            = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/cookie-AbCdEf"
    "database/follower" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/database/follower-AbCdEf"
    "database/gateway"  = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/database/gateway-AbCdEf"
    "kafka/subscriber"  = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/kafka/subscriber-AbCdEf"
    "tls/gateway"       = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/tls/gateway-AbCdEf"
  }
  kafka_bootstrap         = "b-1:9096"
  engine_address          = "engine.ironbook-test.internal:7400"
  task_role_arn           = "arn:aws:iam::111122223333:role/gateway"
  execution_role_arn      = "arn:aws:iam::111122223333:role/execution"
  access_logs_bucket_name = "logs"
  database_ca_pem         = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
  kms_key_arn             = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  log_retention_days      = 30
  deletion_protection     = true
}

run "each_gateway_is_a_service_with_a_key_of_its_own" {
  command = apply

  assert {
    condition     = [for name, service in aws_ecs_service.this : service.desired_count] == [1, 1, 0]
    error_message = "two must run, and one wait"
  }
  assert {
    condition     = alltrue([for index in [0, 1, 2] : strcontains(aws_ecs_task_definition.this["gateway-${index}"].container_definitions, "/run/ironbook/gateway-${index}.key")])
    error_message = "each must log on with its own key"
  }
  assert {
    condition     = [for container in jsondecode(aws_ecs_task_definition.this["gateway-0"].container_definitions) : container.name] == ["gateway", "secrets", "snapshot", "collector"]
    error_message = "a gateway must have its secrets and a snapshot before it starts"
  }
  assert {
    condition     = contains([for container in jsondecode(aws_ecs_task_definition.this["gateway-0"].container_definitions) : container.command if container.name == "snapshot"][0], "--if-any")
    error_message = "the first gateway of a new installation must start before any snapshot is published"
  }
}

run "the_spare_one_starts_by_load_and_stops_below_half_of_it" {
  command = apply

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.busy) == ["gateway-2"] && aws_cloudwatch_metric_alarm.busy["gateway-2"].threshold == 120000
    error_message = "gateway-2 must start above twice the target"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.quiet["gateway-2"].threshold / 5 < aws_cloudwatch_metric_alarm.busy["gateway-2"].threshold
    error_message = "it must not stop at the load that started it"
  }
}

run "clients_come_by_tls_through_the_firewall" {
  command = apply

  assert {
    condition     = aws_lb_listener.this.protocol == "HTTPS" && startswith(aws_lb_listener.this.ssl_policy, "ELBSecurityPolicy-TLS13") && aws_lb_target_group.this.protocol == "HTTPS"
    error_message = "TLS must be spoken on both sides"
  }
  assert {
    condition     = length(aws_wafv2_web_acl.this.rule) == 4 && aws_lb.this.drop_invalid_header_fields && aws_lb.this.enable_deletion_protection
    error_message = "the firewall must have its four rules"
  }
}

run "functions_inside_the_network_reach_the_name_that_the_certificate_is_for" {
  command = apply

  assert {
    condition     = output.url == "https://gateway.example.com" && one(aws_route53_zone.this.vpc).vpc_id == var.vpc_id && aws_route53_zone.this.name == "gateway.example.com"
    error_message = "the public name must be known inside the VPC"
  }
  assert {
    condition     = aws_route53_record.this.zone_id == aws_route53_zone.this.zone_id && one(aws_route53_record.this.alias).name == aws_lb.this.dns_name && one(aws_route53_record.this.alias).zone_id == aws_lb.this.zone_id
    error_message = "it must lead to the load balancer"
  }
  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.inside : rule.cidr_ipv4] == ["198.51.100.1/32", "198.51.100.2/32"] && alltrue([for rule in aws_vpc_security_group_ingress_rule.inside : rule.from_port == 443 && rule.security_group_id == aws_security_group.load_balancer.id])
    error_message = "what comes from inside by the NAT gateways must be let in"
  }
}

run "an_address_in_place_of_a_name_is_refused" {
  command = plan

  variables {
    gateway_name = "https://gateway.example.com"
  }

  expect_failures = [var.gateway_name]
}

run "more_gateways_than_keys_are_refused" {
  command = plan

  variables {
    count_min = 4
  }

  expect_failures = [var.count_min]
}

run "two_gateways_with_one_key_are_refused" {
  command = plan

  variables {
    engine_keys = ["one", "one"]
  }

  expect_failures = [var.engine_keys]
}

run "memory_that_fargate_does_not_have_is_refused" {
  command = plan

  variables {
    memory_mib = 1000
  }

  expect_failures = [var.memory_mib]
}

run "clients_that_are_no_network_are_refused" {
  command = plan

  variables {
    client_cidr_blocks = ["anybody"]
  }

  expect_failures = [var.client_cidr_blocks]
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

run "beside_each_gateway_runs_a_collector_that_reads_the_port_it_serves" {
  command = apply

  assert {
    condition = alltrue([for task in aws_ecs_task_definition.this : one([for container in jsondecode(task.container_definitions) : {
      configuration = one([for variable in container.environment : variable.value if variable.name == "AOT_CONFIG_CONTENT"])
      image         = container.image
    } if container.name == "collector"]) == { configuration = var.collector_configuration, image = var.collector_image }])
    error_message = "each task must hold a collector, which is told what to do"
  }
  assert {
    condition = alltrue([for gateway, task in aws_ecs_task_definition.this : {
      for variable in one([for container in jsondecode(task.container_definitions) : container.environment if container.name == "collector"]) : variable.name => variable.value if startswith(variable.name, "IRONBOOK_")
      } == {
      IRONBOOK_METRICS_JOB    = gateway
      IRONBOOK_METRICS_SCHEME = "https"
      IRONBOOK_METRICS_TARGET = "127.0.0.1:${jsondecode(task.container_definitions)[0].portMappings[0].containerPort}"
    }])
    error_message = "it must read the gateway's own port, as the gateway speaks there"
  }
  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.this : contains(jsondecode(task.container_definitions)[0].environment, { name = "IRONBOOK_GATEWAY_LISTEN", value = "0.0.0.0:${jsondecode(task.container_definitions)[0].portMappings[0].containerPort}" })])
    error_message = "the gateway must listen on the port that is mapped and read"
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
    error_message = "what is beside the gateway must have a small share"
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
