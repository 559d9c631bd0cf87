"""Reading tables: any common file or folder into a table with roles."""
