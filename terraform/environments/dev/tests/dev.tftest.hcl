mock_provider "aws" {
  source = "../../mocks"
}

# Its packages come from make functions; the module's own test, and make terraform-apply-local, have it whole.
override_module {
  target = module.functions
  outputs = {
    function_names    = { archiver = "ironbook-dev-archiver", canary = "ironbook-dev-canary", rotation = "ironbook-dev-rotation" }
    security_group_id = "sg-00000000"
  }
}

variables {
  database_ca_file = "../../mocks/database-ca.pem" # a stand-in
}

run "modules_fit_together" {
  command = apply

  assert {
    condition     = toset(keys(output.engine_instance_ids)) == toset(["engine-0"])
    error_message = "engine nodes must be those of this environment"
  }

  assert {
    condition     = var.deletion_protection == false
    error_message = "deletion protection must be what this environment has by default"
  }

  assert {
    condition     = module.gateway.url == "https://gateway.dev.example.com"
    error_message = "the canary and rotation must ask for the name that the gateway's certificate is for"
  }
}

run "without_the_databases_authority_nothing_is_planned" {
  command = plan

  variables {
    database_ca_file = "nowhere.pem"
  }

  expect_failures = [var.database_ca_file]
}

run "reports_are_mailed_by_ses_where_a_sender_is_given" {
  command = plan

  variables {
    report_mail = { identity_arn = "arn:aws:ses:eu-central-1:111122223333:identity/example.com", from = "ironbook@example.com", to = ["desk@example.com", "risk@example.com"] }
  }
}

run "mail_from_elsewhere_than_the_senders_identity_is_refused" {
  command = plan

  variables {
    report_mail = { identity_arn = "arn:aws:ses:eu-central-1:111122223333:identity/example.com", from = "ironbook@example.org", to = ["desk@example.com"] }
  }

  expect_failures = [var.report_mail]
}

run "mail_to_nobody_is_refused" {
  command = plan

  variables {
    report_mail = { identity_arn = "arn:aws:ses:eu-central-1:111122223333:identity/example.com", from = "ironbook@example.com", to = [] }
  }

  expect_failures = [var.report_mail]
}
