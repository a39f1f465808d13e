"""Between assets travel small typed documents: JSON in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import BaseModel, ValidationError

from pytoon_pipeline.errors import StoreError

if TYPE_CHECKING:
    from pytoon_pipeline.store import Store


def document_key(asset: str, partition_key: str) -> str:
    """Where the document of an asset lies in the store."""
    return f"documents/{asset}/{partition_key}.json"


class DocumentsIOManager(dg.IOManager):
    """Keeps each asset's document under `documents/<asset>/<campaign>/<brief>.json`.

    The type to read comes from the annotation of the asset that made it.
    """

    def __init__(self, store: Store):
        self._store = store

    def handle_output(self, context: dg.OutputContext, obj: BaseModel) -> None:
        key = document_key(context.asset_key.path[-1], context.partition_key)
        self._store.put_bytes(key, obj.model_dump_json(indent=2).encode())

    def load_input(self, context: dg.InputContext) -> BaseModel:
        model = context.dagster_type.typing_type
        key = document_key(context.asset_key.path[-1], context.partition_key)
        try:
            return model.model_validate_json(self._store.read_bytes(key))
        except ValidationError as error:
            raise StoreError(
                f"{key} is not a {model.__name__} of this version; materialize "
                f"{context.asset_key.path[-1]} again.\n{error}"
            ) from error


@dg.io_manager(required_resource_keys={"services"})
def documents(context: dg.InitResourceContext) -> DocumentsIOManager:
    """Documents in the store."""
    return DocumentsIOManager(context.resources.services.store)
