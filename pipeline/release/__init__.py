"""What a root becomes for others: released tables, their papers, exports, and the checks that come before."""
