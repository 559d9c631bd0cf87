"""Classifiers of texts, from the simplest up; each is an expert by the plug-in door `faultwise.experts`."""
