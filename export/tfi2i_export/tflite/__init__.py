"""TFLite files: conversion, quantization, metadata, running and timing them."""
