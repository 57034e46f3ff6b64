"""The result of a server's tool as text: texts stay, other content is named by its type and size."""

from __future__ import annotations

import json

from mcp_types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from ..excerpt import excerpt


def as_text(result: CallToolResult) -> tuple[str, bool]:
    """The text for the model, and whether the server reports a failure."""
    text = "\n".join(map(_block, result.content))
    if not result.content and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False)
    text = excerpt(text.encode("utf-8", "replace").decode())
    return (f"[ERROR] {text}", True) if result.is_error else (text, False)


def _block(block: ContentBlock) -> str:
    match block:
        case TextContent(text=text):
            return text
        case ImageContent() | AudioContent():
            return f"[{block.type}, {block.mime_type[:100]}, {_size(block.data)}: not shown]"
        case ResourceLink():
            size = f", {block.size:,} bytes" if block.size is not None else ""
            return f"[link to {block.name[:200]}: {block.uri[:500]}, {block.mime_type or 'of no type'}{size}]"
        case EmbeddedResource(resource=TextResourceContents(text=text, uri=uri)):
            return f"[{uri[:500]}]\n{text}"
        case EmbeddedResource(resource=resource):
            size = _size(resource.blob) if hasattr(resource, "blob") else ""
            return f"[{resource.uri[:500]}, {resource.mime_type or 'of no type'}, {size}: not shown]"


def _size(base64: str) -> str:
    return f"{len(base64) * 3 // 4:,} bytes"
