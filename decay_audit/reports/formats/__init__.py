"""The formats for machines and for web pages, one module each; none imports another.

as_json    the whole report, by the contract of `document`
as_csv     a row for each parameter
markdown   findings and table for a pull request or the summary of a job
sarif      findings for code scanning
github     annotations of a workflow
gitlab     the code quality report of a merge request
junit      findings as test cases
html       a page that a browser shows without a network: findings, a map, a table, the code
"""
