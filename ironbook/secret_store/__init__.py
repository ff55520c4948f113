"""Secrets that stand in AWS Secrets Manager, brought into files beside a running process while they change there.

settings   what to follow, into which files: a TOML file
aws        Secrets Manager: what is there, with which labels; one version's value
plan       pure: which versions count, what the files hold
files      private files, each whole or not there
follow     one look after another: lists, fetches what is new, writes what changed, revokes what ended
relay      what processes say that they hold, into the table secret_holders
"""
