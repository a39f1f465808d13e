"""The campaign page: what became of a campaign, for people who never open Dagster."""
