"""Modules that are web servers: when they are ready, and how requests get to them"""
