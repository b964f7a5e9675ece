"""The custom resources: what users type (spec), what they read (status), and the rules a spec must keep.

The pydantic models here are the only source: ``scripts/generate.py`` makes the CRDs and the API reference from them.
"""
