"""The web server of the transfer-function tool: a workspace, its pages' messages and pictures."""
