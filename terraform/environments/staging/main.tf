# staging: calls and values only. The three environments read in the same order; what differs are the values.

locals {
  name    = "ironbook-staging"
  release = jsondecode(file("${path.module}/release.json")) # what runs: machine image, bundle, container images

  database_ca_pem = try(file(var.database_ca_file), "") # the variable refuses a file that is not there
}

module "secrets" {
  source = "../../modules/secrets"

  name        = local.name
  environment = "staging"
  api_keys = {
    gateway-0 = { number = 10, permissions = ["trade", "cancel", "read", "delegate"], account = 0 }
    gateway-1 = { number = 11, permissions = ["trade", "cancel", "read", "delegate"], account = 0 }
    gateway-2 = { number = 12, permissions = ["trade", "cancel", "read", "delegate"], account = 0 }
    admin     = { number = 2, permissions = ["admin", "read"], account = 0 }
    risk      = { number = 3, permissions = ["admin", "cancel", "read"], account = 0 }
    submitter = { number = 4, permissions = ["trade", "cancel", "read", "delegate"], account = 0 }
    canary    = { number = 5, permissions = ["trade", "cancel", "read"], account = 1 }
  }
  database = {
    host = module.postgres.endpoint
    port = module.postgres.port
    name = module.postgres.database_name
  }
  database_roles = {
    analytics = "ironbook_writer"
    gateway   = "ironbook_reader"
    reporting = "ironbook_reader"
    follower  = "ironbook_follower"
  }
  kafka_principals     = ["publisher", "validation", "risk", "submitter", "analytics", "subscriber", "archiver", "operator"]
  certificates         = { gateway = ["gateway.${local.name}.internal"] }
  processes_count      = { engine = 1, gateway = 2, validation = 1, risk = 1, submitter = 1, analytics = 1, publisher = 1 }
  recovery_window_days = 7
}

module "network" {
  source = "../../modules/network"

  name                     = local.name
  kms_key_arn              = module.secrets.kms_key_arn
  vpc_cidr                 = "10.30.0.0/16"
  zone_names               = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  nat_gateway_count        = 1
  interface_endpoints      = ["secretsmanager", "kms", "logs", "ecr.api", "ecr.dkr", "aps-workspaces"]
  flow_logs_retention_days = 90
}

module "storage" {
  source = "../../modules/storage"

  name                   = local.name
  kms_key_arn            = module.secrets.kms_key_arn
  archive_lock_mode      = "GOVERNANCE"
  archive_lock_days      = 30
  infrequent_after_days  = 30
  glacier_after_days     = 90
  reports_retention_days = 400
  deletion_protection    = var.deletion_protection
}

module "identity" {
  source = "../../modules/identity"

  name                       = local.name
  kms_key_arn                = module.secrets.kms_key_arn
  secret_arns                = module.secrets.secret_arns
  kafka_user_secret_arns     = module.secrets.kafka_user_secret_arns
  ca_secret_arn              = module.secrets.ca_secret_arn
  database_admin_secret_arn  = module.postgres.admin_secret_arn
  archive_bucket_arn         = module.storage.archive_bucket_arn
  reports_bucket_arn         = module.storage.reports_bucket_arn
  artifacts_bucket_arn       = module.storage.artifacts_bucket_arn
  alerts_topic_arn           = module.observability.alerts_topic_arn
  reports_topic_arn          = module.observability.reports_topic_arn
  prometheus_workspace_arn   = module.observability.prometheus_workspace_arn
  report_sender_identity_arn = try(var.report_mail.identity_arn, null)
}

module "kafka" {
  source = "../../modules/kafka"

  name        = local.name
  kms_key_arn = module.secrets.kms_key_arn
  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.isolated_subnet_ids
  client_security_groups = {
    engine    = module.engine_node.security_group_id
    streams   = module.streams.security_group_id
    gateway   = module.gateway.security_group_id
    functions = module.functions.security_group_id
  }
  kafka_version              = "3.9.x"
  broker_instance_type       = "kafka.m7g.large"
  broker_volume_size_gib     = 250
  broker_volume_size_max_gib = 1000
  log_retention_days         = 90
  user_secret_arns           = module.secrets.kafka_user_secret_arns
}

module "postgres" {
  source = "../../modules/postgres"

  name        = local.name
  kms_key_arn = module.secrets.kms_key_arn
  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.isolated_subnet_ids
  client_security_groups = {
    engine    = module.engine_node.security_group_id # its follower of secrets says there what it holds
    streams   = module.streams.security_group_id
    gateway   = module.gateway.security_group_id
    functions = module.functions.security_group_id
  }
  instance_class        = "db.m7g.large"
  storage_size_gib      = 200
  storage_size_max_gib  = 1000
  multi_az              = true
  backup_retention_days = 14
  deletion_protection   = var.deletion_protection
  log_retention_days    = 90
}

module "engine_node" {
  source = "../../modules/engine_node"

  environment             = "staging"
  name                    = local.name
  vpc_id                  = module.network.vpc_id
  vpc_cidr                = module.network.vpc_cidr
  subnet_ids              = module.network.engine_subnet_ids
  zone_names              = module.network.zone_names
  instance_type           = "c6id.metal"
  image_id                = local.release.machine_image
  standby                 = true
  journal_disk            = "instance_store"
  journal_volume_size_gib = 256
  survival_level          = "cluster"
  bundle                  = local.release.bundle
  secret_arns             = module.secrets.secret_arns
  database_ca_pem         = local.database_ca_pem
  archive_bucket_name     = module.storage.archive_bucket_name
  kafka_bootstrap         = module.kafka.bootstrap_brokers_sasl_scram
  client_security_groups = {
    streams   = module.streams.security_group_id
    gateway   = module.gateway.security_group_id
    functions = module.functions.security_group_id
  }
  collector_security_group_id = module.streams.security_group_id
  instance_profile_name       = module.identity.engine_instance_profile_name
  kms_key_arn                 = module.secrets.kms_key_arn
  deletion_protection         = var.deletion_protection
}

module "streams" {
  source = "../../modules/streams"

  environment                   = "staging"
  name                          = local.name
  vpc_id                        = module.network.vpc_id
  vpc_cidr                      = module.network.vpc_cidr
  subnet_ids                    = module.network.private_subnet_ids
  image                         = local.release.images.streams
  collector_image               = local.release.images.collector
  collector_configuration       = module.observability.collector_configuration
  nodes_collector_configuration = module.observability.nodes_collector_configuration
  workers = {
    validation = { cpu_units = 1024, memory_mib = 2048, count_min = 2, count_max = 4 }
    risk       = { cpu_units = 1024, memory_mib = 2048, count_min = 1, count_max = 1 }
    submitter  = { cpu_units = 1024, memory_mib = 2048, count_min = 1, count_max = 1 }
    analytics  = { cpu_units = 1024, memory_mib = 4096, count_min = 2, count_max = 4 }
  }
  secret_arns        = module.secrets.secret_arns
  database_ca_pem    = local.database_ca_pem
  signer_keys        = { risk = "risk", submitter = "submitter" }
  kafka_bootstrap    = module.kafka.bootstrap_brokers_sasl_scram
  kafka_cluster_name = module.kafka.cluster_name
  engine_address     = module.engine_node.address
  task_role_arns     = module.identity.task_role_arns
  execution_role_arn = module.identity.execution_role_arn
  kms_key_arn        = module.secrets.kms_key_arn
  log_retention_days = 90
}

module "gateway" {
  source = "../../modules/gateway"

  environment             = "staging"
  name                    = local.name
  vpc_id                  = module.network.vpc_id
  vpc_cidr                = module.network.vpc_cidr
  public_subnet_ids       = module.network.public_subnet_ids
  private_subnet_ids      = module.network.private_subnet_ids
  image                   = local.release.images.gateway
  collector_image         = local.release.images.collector
  collector_configuration = module.observability.collector_configuration
  engine_keys             = ["gateway-0", "gateway-1", "gateway-2"]
  archive_bucket_name     = module.storage.archive_bucket_name
  admin_key               = "admin"
  count_min               = 2
  cpu_units               = 2048
  memory_mib              = 4096
  gateway_name            = "gateway.staging.example.com"
  nat_addresses           = module.network.nat_addresses
  certificate_arn         = "arn:aws:acm:eu-central-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"
  client_cidr_blocks      = ["203.0.113.0/24"]
  secret_arns             = module.secrets.secret_arns
  database_ca_pem         = local.database_ca_pem
  kafka_bootstrap         = module.kafka.bootstrap_brokers_sasl_scram
  engine_address          = module.engine_node.address
  task_role_arn           = module.identity.task_role_arns["gateway"]
  execution_role_arn      = module.identity.execution_role_arn
  access_logs_bucket_name = module.storage.logs_bucket_name
  kms_key_arn             = module.secrets.kms_key_arn
  log_retention_days      = 90
  deletion_protection     = var.deletion_protection
}

module "functions" {
  source = "../../modules/functions"

  name                 = local.name
  vpc_id               = module.network.vpc_id
  vpc_cidr             = module.network.vpc_cidr
  subnet_ids           = module.network.private_subnet_ids
  packages_directory   = "${path.module}/../../../build/functions" # of make functions
  packages_bucket_name = module.storage.artifacts_bucket_name
  verifier_image       = local.release.images.verifier
  settings = {
    reporting = merge({
      archive_bucket    = module.storage.archive_bucket_name
      reports_bucket    = module.storage.reports_bucket_name
      database_secret   = module.secrets.secret_arns["database/reporting"]
      database_tls      = "verify-full"
      database_ca_pem   = local.database_ca_pem
      alerts_topic_arn  = module.observability.alerts_topic_arn
      reports_topic_arn = module.observability.reports_topic_arn
    }, var.report_mail == null ? {} : { mail_from = var.report_mail.from, mail_to = join(",", var.report_mail.to) })
    rotation = {
      environment              = "staging"
      database_host            = module.postgres.endpoint
      database_port            = module.postgres.port
      database_name            = module.postgres.database_name
      database_tls             = "verify-full"
      database_ca_pem          = local.database_ca_pem
      database_admin_secret    = module.postgres.admin_secret_arn
      kafka_bootstrap          = module.kafka.bootstrap_brokers_sasl_scram
      kafka_admin_secret       = module.secrets.secret_arns["kafka/operator"]
      kafka_user_secret_prefix = module.secrets.kafka_user_secret_name_prefix
      ca_secret                = module.secrets.ca_secret_arn
      engine_addresses         = module.engine_node.address
      gateway_url              = module.gateway.url
      alerts_topic_arn         = module.observability.alerts_topic_arn
    }
    archiver = {
      archive_bucket      = module.storage.archive_bucket_name
      kafka               = module.kafka.bootstrap_brokers_sasl_scram
      kafka_secret_arn    = module.secrets.secret_arns["kafka/archiver"]
      kafka_tls           = "true"
      metrics_environment = local.name
      alerts_topic_arn    = module.observability.alerts_topic_arn
    }
    verifier = {
      archive_bucket   = module.storage.archive_bucket_name
      alerts_topic_arn = module.observability.alerts_topic_arn
    }
    canary = {
      gateway_url         = module.gateway.url
      key_secret          = module.secrets.secret_arns["api_key/canary"]
      symbol              = "BTCUSD"
      metrics_environment = local.name
      alerts_topic_arn    = module.observability.alerts_topic_arn
    }
  }
  role_arns           = module.identity.function_role_arns
  rotated_secret_arns = module.secrets.secret_arns
  rotation_days       = 90
  certificate_days    = module.secrets.certificate_days
  alerts_topic_arn    = module.observability.alerts_topic_arn
  kms_key_arn         = module.secrets.kms_key_arn
  log_retention_days  = 90
}

module "observability" {
  source = "../../modules/observability"

  name                          = local.name
  kms_key_arn                   = module.secrets.kms_key_arn
  alert_emails                  = ["alerts@example.com"]
  report_emails                 = ["reports@example.com"]
  budget_monthly_usd            = 16000
  engine_instance_ids           = module.engine_node.instance_ids
  engine_measures_addresses     = module.engine_node.measures_addresses
  kafka_cluster_name            = module.kafka.cluster_name
  consumer_lags_max             = { "validation/orders.submitted" = 5000, "risk/orders.validated" = 5000, "submitter/orders.accepted" = 5000, "analytics/executions" = 20000 }
  postgres_instance_identifier  = module.postgres.instance_identifier
  postgres_free_storage_min_gib = 20
  load_balancer_arn_suffix      = module.gateway.alb_arn_suffix
  ecs_cluster_services = merge(
    { for worker, service in module.streams.service_names : worker => { cluster = module.streams.cluster_name, service = service } },
    { for gateway, service in module.gateway.always_on_service_names : gateway => { cluster = module.gateway.cluster_name, service = service } },
  )
  function_names          = module.functions.function_names
  archive_lag_max_minutes = 30
}
