"""The Storage Read API: that of the emulator, behind the double's logins and faults.

Rows come in messages of `rows_per_message` rows. The phases of faults are `session` and `rows`; besides those of
principals.py, `none` says that a table has no session, `cut` breaks a stream off after its first message, and `short` ends it there
as if it were complete.
"""

import concurrent.futures

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types
from local_bigquery.grpc import read, server
from principals import Drop, Refusal

PHASES = {"CreateReadSession": "session", "ReadRows": "rows"}
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}


def split(name, offset, answers, size):
    """The messages of a stream, cut into smaller ones."""
    schema, sent = None, offset
    for answer in answers:
        if answer.arrow_schema.serialized_schema:
            schema = pa.ipc.read_schema(pa.py_buffer(answer.arrow_schema.serialized_schema))
        batch = pa.ipc.read_record_batch(pa.py_buffer(answer.arrow_record_batch.serialized_record_batch), schema)
        for at in range(0, batch.num_rows, size):
            part = batch.slice(at, size)
            # What was sent may be asked for from there on.
            sent += part.num_rows
            read._streams[name].allocated = max(read._streams[name].allocated, sent)
            rows = types.ArrowRecordBatch(serialized_record_batch=part.serialize().to_pybytes())
            # The first message has the schema besides.
            first = {"arrow_schema": answer.arrow_schema} if sent == offset + part.num_rows else {}
            yield types.ReadRowsResponse(arrow_record_batch=rows, row_count=part.num_rows, **first)


class Gate(grpc.ServerInterceptor):
    """Lets in who has a token, unless something goes wrong."""

    def __init__(self, service):
        # The job whose result a session reads.
        self.service, self.jobs = service, {}

    def asker(self, context, method, project=None):
        token = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        name = self.service.tokens.known.get(token)
        if name is None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request is missing required authentication credential.")
        who = self.service.principal(name)
        who.requests.append(method)
        try:
            wrong = who.fault(PHASES.get(method, method), token)
            if project:
                who.allow("bigquery.readsessions.create", project)
        except Refusal as cause:
            context.abort(CODES.get(cause.status, grpc.StatusCode.UNKNOWN), cause.message)
        except Drop:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return who, wrong

    def intercept_service(self, continuation, details):
        handler, method = continuation(details), details.method.rsplit("/", 1)[1]
        if handler is None or method not in PHASES:
            return handler

        def made(request, context):
            who, _ = self.asker(context, method, request.parent.removeprefix("projects/"))
            # The emulator names a result by its job, which may be that of an earlier job of the same statement.
            place, _, job = request.read_session.table.rpartition("/")
            request.read_session.table = f"{place}/{who.jobs.get(job, {}).get('source', job)}"
            session = handler.unary_unary(request, context)
            self.jobs |= {stream.name: job for stream in session.streams}
            return session

        def followed(request, context):
            who, wrong = self.asker(context, method)
            answers = handler.unary_stream(request, context)
            if not read._streams.get(request.read_stream) or read._streams[request.read_stream].avro:
                yield from answers
                return
            for answer in split(request.read_stream, request.offset, answers, who.rows_per_message):
                yield answer
                if wrong == "cut":
                    context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
                if wrong == "short":
                    return
            # Its result was read to the end.
            who.jobs.get(self.jobs.get(request.read_stream), {})["open"] = False

        make = grpc.unary_unary_rpc_method_handler if method == "CreateReadSession" else grpc.unary_stream_rpc_method_handler
        return make(made if method == "CreateReadSession" else followed, handler.request_deserializer, handler.response_serializer)


def start(service):
    """Serves on a port of its own, which is returned."""
    serving = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16), interceptors=[Gate(service)])
    serving.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, methods) for name, methods in server.SERVICES.items()])
    port = serving.add_insecure_port("127.0.0.1:0")
    serving.start()
    return serving, port
