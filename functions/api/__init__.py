"""The HTTPS lane: events of an HTTP API in, answers of the protocols out.

handler.py is the Lambda entry point, and http_api.py answers an event. routes.py is the one table
of routes, and answers.py makes an answer of every failure. app.py is the FastAPI application, for
pages and unknown paths; openapi.py describes the routes. snapshot.py is for SnapStart.
"""
