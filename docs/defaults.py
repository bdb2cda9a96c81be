"""What the API reference shows as the default of an option (mkdocs.yml): the value alone, without
what the field says about itself."""

from __future__ import annotations

from typing import Any

import griffe


class PlainDefaults(griffe.Extension):
    """`_option("auto", CONTENT)` is shown as `"auto"`."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        call = attr.value
        if isinstance(call, griffe.ExprCall) and str(call.function) == "_option":
            attr.value = call.arguments[0]
