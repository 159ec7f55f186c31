"""Reads OTLP requests with OpenTelemetry's own messages, and writes what they say as JSON.

Standard input: a JSON array of bodies in base64. Standard output: one object for each span, with the resource that it came from. A field
that the messages do not know is an error: it would be a wrong number.
"""

import base64
import json
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def look_through(message):
    unknown = [(field.field_number, field.wire_type) for field in UnknownFieldSet(message)]
    if unknown:
        raise ValueError(f"{message.DESCRIPTOR.full_name}: unknown fields {unknown}")
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in [value] if hasattr(value, "ListFields") else value:
                look_through(inner)


def attributes(pairs):
    values = {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
    if len(values) != len(pairs):
        raise ValueError("an attribute is there twice")
    return values


def shown(span, resource, scope):
    return {
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": attributes(span.attributes),
        "links": [{"trace": link.trace_id.hex(), "span": link.span_id.hex()} for link in span.links],
        "status": Status.StatusCode.Name(span.status.code),
        "message": span.status.message,
        "resource": attributes(resource.attributes),
        "scope": scope.name,
    }


spans = []
for body in json.load(sys.stdin):
    request = ExportTraceServiceRequest.FromString(base64.b64decode(body))
    look_through(request)
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            spans += [shown(span, of_resource.resource, of_scope.scope) for span in of_scope.spans]
print(json.dumps(spans))
