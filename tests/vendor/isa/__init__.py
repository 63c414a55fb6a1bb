"""The instructions that the vendors' compilers write, a module for each driver.

A module has `REPRESENTATION`, the name of the text that the driver returns with
VK_KHR_pipeline_executable_properties; `items(text)`, `kinds(item)`, `ends(item)`, and
`hidden(body)`.
"""

from isa import anv, nvk, radv, turnip

# By the driver's name in chips.py.
PARSERS = {"radeon": radv, "nouveau": nvk, "intel": anv, "freedreno": turnip}
