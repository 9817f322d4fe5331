"""The OpenFeature Remote Evaluation Protocol (OFREP 0.3.0): flags for programs in any language, and in browsers."""
